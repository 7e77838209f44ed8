package kafka

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"trackway/internal/log/raft"
	"trackway/internal/log/raft/parcel"
	"trackway/internal/log/raft/peer"
)

// A server that lacks deleted records asks another member for its state. The
// question is a line of JSON, and the answer is one, with the state behind it.

type stateAsked struct {
	Log string `json:"log"`
}

type stateSent struct {
	Error string `json:"error,omitempty"`
}

const (
	stateTime = time.Minute // for the next bytes of a state
	mostLine  = 4 << 10
)

// patient gives each use of a connection some time.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(stateTime)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(stateTime)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// serveState sends the state of this server to another one.
func (l *Log) serveState(conn net.Conn) {
	end, ok := l.begin()
	if !ok {
		return
	}
	defer end()
	stop := context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	defer stop()
	closing := make(chan struct{})
	defer close(closing)
	go func() {
		select {
		case <-l.closing:
			_ = conn.Close()
		case <-closing:
		}
	}()
	p := patient{conn}
	var asked stateAsked
	if json.NewDecoder(io.LimitReader(p, mostLine)).Decode(&asked) != nil {
		return
	}
	if err := l.sendState(p, asked); err != nil {
		l.o.Log.Warn("the state of this server was not sent", "to", conn.RemoteAddr().String(), "err", err)
	}
}

func (l *Log) sendState(p patient, asked stateAsked) (err error) {
	answer := func(err error) error {
		return errors.Join(err, json.NewEncoder(p).Encode(stateSent{err.Error()}))
	}
	select {
	case l.sending <- struct{}{}:
		defer func() { <-l.sending }()
	default:
		return answer(errors.New("this server sends its state to another one at the moment"))
	}
	switch {
	case asked.Log != l.known().Log:
		return answer(errors.New("this server has another log"))
	case l.Ready() != nil:
		return answer(l.Ready())
	}
	dir := filepath.Join(l.o.Dir, "outgoing")
	if err := os.RemoveAll(dir); err != nil {
		return answer(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := l.machine.Checkpoint(dir); err != nil {
		return answer(fmt.Errorf("make a checkpoint of the state: %w", err))
	}
	r, err := parcel.Open(nil, dir)
	if err != nil {
		return answer(err)
	}
	if err := json.NewEncoder(p).Encode(stateSent{}); err != nil {
		return errors.Join(err, r.Close())
	}
	_, err = io.Copy(p, r)
	return errors.Join(err, r.Close())
}

// getState gets the state of another member, if one has told of itself lately,
// and has this server opened again with it.
func (l *Log) getState(ctx context.Context) {
	for _, m := range l.list() {
		if m.ID == l.ID() || !l.fresh(&m) || m.Stopping || m.Applied < l.known().Base || m.Durable == 0 {
			continue
		}
		err := l.getStateOf(ctx, &m)
		if errors.Is(err, raft.ErrRestart) || ctx.Err() != nil {
			return
		}
		l.o.Log.Warn("the state of another server was not received", "from", m.Address, "err", err)
	}
}

func (l *Log) getStateOf(ctx context.Context, m *member) error {
	to, err := peer.ParseTarget(m.Address + "#" + m.ID)
	if err != nil {
		return err
	}
	conn, err := l.o.Network.Dial(ctx, to, peer.Snapshot, l.o.Partition)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	p := patient{conn}
	if err := json.NewEncoder(p).Encode(stateAsked{l.known().Log}); err != nil {
		return err
	}
	from := bufio.NewReaderSize(p, 64<<10)
	line, err := from.ReadSlice('\n')
	if err != nil {
		return err
	}
	var answer stateSent
	if err := json.Unmarshal(line, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	dir := filepath.Join(l.o.Dir, "incoming")
	if err := l.receive(dir, from); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	index, err := l.machine.Check(dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if index <= l.machine.Applied() {
		return errors.Join(fmt.Errorf("it goes to entry %d only", index), os.RemoveAll(dir))
	}
	err = l.machine.Replace(dir)
	if err == nil || errors.Is(err, raft.ErrRestart) {
		l.o.Log.Info("this server has received the state of another one", "from", m.Address, "entry", index)
		l.fatal(raft.ErrRestart)
		return raft.ErrRestart
	}
	return err
}

func (l *Log) receive(dir string, from io.Reader) error {
	w, err := parcel.Receive(nil, dir, l.machine.CheckFile)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, from)
	return errors.Join(err, w.Close())
}
