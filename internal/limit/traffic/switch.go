package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"trackway/internal/durable"
)

// choice is what an operator chose while the server ran. It is kept in a file
// beside the record's directory, so that deleting the record does not start or
// stop recording.
type choice struct {
	Record bool      `json:"record"`
	At     time.Time `json:"at"`
}

func (r *Recorder) choicePath() string { return r.dir + ".json" }

// readChoice returns the choice of an earlier process, or nil without one. If
// the file cannot be read, the configuration decides.
func (r *Recorder) readChoice() *choice {
	text, err := os.ReadFile(r.choicePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c := new(choice)
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		r.log.Warn("whether calls were switched to be recorded cannot be read; the configuration decides", "file", r.choicePath(), "err", err)
		return nil
	}
	return c
}

// Switch starts or stops recording, whatever the configuration says. The choice
// holds across restarts, until the configuration in force says the same,
// perhaps at once: from then on the configuration decides again. When Switch
// returns nil, the choice is on the disk. After an error nothing has changed.
func (r *Recorder) Switch(on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &choice{Record: on, At: r.now().UTC().Truncate(time.Second)}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	const ownerOnly = 0o600
	if err := durable.Replace(r.choicePath(), append(text, '\n'), ownerOnly); err != nil {
		return fmt.Errorf("keep the choice whether to record calls: %w", err)
	}
	if r.chosen = c; on == r.settings.Record {
		r.forgetLocked()
	}
	r.applyLocked(r.settings)
	r.log.Info("recording of calls was switched", "on", on)
	return nil
}

// forgetLocked drops the choice of which the configuration says the same. If
// its file stays, it has no effect, because the next process drops it, too.
func (r *Recorder) forgetLocked() {
	r.chosen = nil
	if err := os.Remove(r.choicePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("a file without effect cannot be removed", "file", r.choicePath(), "err", err)
	}
}

// Holding says what a record holds, and what it costs.
type Holding struct {
	Recording  bool `json:"recording"`
	Configured bool `json:"configured"` // what the configuration says about recording
	// Switched is when an operator chose otherwise than the configuration, or
	// zero.
	Switched time.Time `json:"switched,omitzero"`
	Keep     int64     `json:"keep"`      // seconds: older rows are removed
	MaxBytes int64     `json:"max_bytes"` // of all files
	Bytes    int64     `json:"bytes"`     // of all files now
	// From and To are the time that the files cover, to within some seconds.
	// There may be gaps. Both are zero if there are no files.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// BytesPerMinute is measured over up to the last ten minutes. It is nil
	// while less than a minute was measured.
	BytesPerMinute *float64 `json:"bytes_per_minute"`
	Unrecorded     uint64   `json:"unrecorded"` // calls that did not fit, since the process started
	Failing        bool     `json:"failing"`    // the last write failed
}

// Holding returns what the record holds. It writes the noted calls first, so
// that they count.
func (r *Recorder) Holding() (Holding, error) {
	_ = r.Flush() // the error has been logged, and Failing tells
	r.mu.Lock()
	defer r.mu.Unlock()
	h := Holding{
		Recording: r.on.Load(), Configured: r.settings.Record, Keep: int64(r.settings.Keep / time.Second), MaxBytes: r.settings.MaxBytes,
		Unrecorded: r.totals.unrecorded.Load(), Failing: r.failing,
	}
	if r.chosen != nil && r.chosen.Record != r.settings.Record {
		h.Switched = r.chosen.At
	}
	all, err := segments(r.dir)
	if err != nil {
		return h, fmt.Errorf("look at the record of calls: %w", err)
	}
	for _, s := range all {
		h.Bytes += s.size
	}
	if n := len(all); n > 0 {
		h.From, h.To = all[0].began.UTC().Truncate(time.Second), all[n-1].wrote.UTC().Truncate(time.Second)
	}
	if h.Recording {
		h.BytesPerMinute = r.written.rate(r.now())
	}
	return h, nil
}

// Dir returns the directory of the record.
func (r *Recorder) Dir() string { return r.dir }

// meter measures how fast the record grows.
type meter struct {
	total int64  // bytes that were written
	marks []mark // a minute apart, the oldest first
}

// mark says how much was written until a time.
type mark struct {
	at    time.Time
	total int64
}

const mostMarks = 10

// begin starts measuring.
func (m *meter) begin(now time.Time) { m.marks = []mark{{now, m.total}} }

// minute notes that a minute has passed.
func (m *meter) minute(now time.Time) {
	if len(m.marks) == mostMarks {
		m.marks = append(m.marks[:0], m.marks[1:]...)
	}
	m.marks = append(m.marks, mark{now, m.total})
}

// rate returns the bytes a minute, or nil if less than a minute was measured.
func (m *meter) rate(now time.Time) *float64 {
	if len(m.marks) == 0 || now.Sub(m.marks[0].at) < time.Minute {
		return nil
	}
	perMinute := float64(m.total-m.marks[0].total) / now.Sub(m.marks[0].at).Minutes()
	return &perMinute
}
