package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"trackway/internal/log/raft"
	"trackway/internal/sleep"
)

// othersTime limits how long a server waits for others that are down or behind.
const othersTime = 20 * time.Second

// Clean deletes from the topic everything that was applied before the call.
// First it waits until all members have that on their disks. If one does not
// for long, it returns an error, and deletes nothing.
func (l *Log) Clean(ctx context.Context) error {
	end, ok := l.begin()
	if !ok {
		return raft.ErrClosed
	}
	defer end()
	through := l.machine.Applied()
	if _, err := l.place(ctx); err != nil { // it stays in the topic, and says which log that is
		return err
	}
	if err := l.awaitOthers(ctx, through); err != nil {
		return err
	}
	return l.deleteBefore(ctx, l.offset(through)+1)
}

// awaitOthers waits until all members have an entry on their disks.
func (l *Log) awaitOthers(ctx context.Context, index uint64) error {
	limit := time.Now().Add(othersTime)
	for {
		missing, err := l.group.lacking(index, l.o.Partition)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if time.Now().After(limit) {
			if err != nil {
				return err
			}
			return fmt.Errorf("entries with erased data stay in the topic %s until these servers have applied them: %s. "+
				"Start them, or remove those that are lost for good (trackway cluster remove)", l.o.Topic, strings.Join(missing, ", "))
		}
		if err := sleep.For(ctx, againPause); err != nil {
			return err
		}
	}
}

// deleteBefore deletes the records before an offset.
func (l *Log) deleteBefore(ctx context.Context, offset int64) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var o kadm.Offsets = make(map[string]map[int32]kadm.Offset)
	o.AddOffset(l.o.Topic, int32(l.o.Partition), offset, -1)
	answers, err := l.admin.DeleteRecords(ctx, o)
	if err == nil {
		err = answers.Error()
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return nil // another server has deleted more
	}
	if err != nil {
		return fmt.Errorf("delete records of the topic %s: %w", l.o.Topic, l.o.Brokers.Clean(err))
	}
	return nil
}

// trim deletes records that all members have on their disks, except for the
// last ones, which a server needs that comes back with a state of some time
// ago.
func (l *Log) trim(ctx context.Context) error {
	index, err := l.group.lowest(l.o.Partition)
	if err != nil {
		return nil //nolint:nilerr // later
	}
	before := l.offset(index) - l.o.trailing
	starts, err := l.admin.ListStartOffsets(ctx, l.o.Topic)
	if err != nil {
		return err
	}
	if start, ok := starts.Lookup(l.o.Topic, int32(l.o.Partition)); !ok || before < start.Offset+l.o.trailing/10 {
		return nil
	}
	return l.deleteBefore(ctx, before)
}
