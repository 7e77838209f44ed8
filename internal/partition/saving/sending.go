package saving

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trackway/internal/log/raft/parcel"
	"trackway/internal/store/backup"
	"trackway/internal/store/engine"
)

// Path is the path at which other servers ask for a partition.
const Path = "/copy"

// asked is what a server asks for.
type asked struct {
	Part int           `json:"partition"`
	Last backup.Tables `json:"last"` // what it has

	// Again asks the server only that has sent what it has.
	Again bool `json:"again"`
}

// head is the first line of the answer. The files follow, as package parcel
// sends them.
type head struct {
	LeftOut backup.Tables `json:"left_out"` // they are not among the files
	Tables  []backup.File `json:"tables"`   // with their times, which the files lack
	Unsure  bool          `json:"unsure"`   // it may lack what other servers have acknowledged
}

// maxList is how many bytes a list of tables may have: some 500 000 tables, of
// at least a few MiB each.
const maxList = 64 << 20

// patience limits how long nothing may come. Another server may have to end a
// backup of its own first.
const patience = 10 * time.Minute

// Handler sends other servers the partitions that this one holds. serves
// reports whether it does, and has what the others have.
func (m *Maker) Handler(serves func(part int) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q asked
		err := json.NewDecoder(io.LimitReader(r.Body, maxList)).Decode(&q)
		if err != nil || q.Part < 0 || q.Part >= m.Stores.Len() {
			http.Error(w, "a member asks for a partition", http.StatusBadRequest)
			return
		}
		if !serves(q.Part) {
			http.Error(w, "another server holds it", http.StatusServiceUnavailable)
			return
		}
		if q.Again && q.Last.From != m.Server {
			http.Error(w, "another server has sent the last one", http.StatusConflict)
			return
		}
		h := head{LeftOut: backup.Tables{From: m.Server}, Unsure: m.latest(r.Context(), q.Part) != nil}
		src, began := m.Stores.All()[q.Part].Source(), false
		err = backup.Copied(src, func(string) error {
			began = true
			return send(&leaving{r.Context(), w, http.NewResponseController(w)}, &src, &h, &q.Last)
		})
		switch {
		case err != nil && began:
			panic(http.ErrAbortHandler) // so that nobody takes a part for the whole
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

// send sends a copy of a store, without the tables that the receiver has.
func send(w io.Writer, src *backup.Source, h *head, last *backup.Tables) (err error) {
	var has []backup.File
	if last.From == h.LeftOut.From {
		has = last.Files
	}
	if h.LeftOut.Files, h.Tables, err = src.Reduce(has); err != nil {
		return err
	}
	if err := json.NewEncoder(w).Encode(h); err != nil {
		return err
	}
	files, err := parcel.Open(src.FS, src.Staging)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	_, err = io.Copy(w, files)
	return err
}

// leaving is an answer that the receiver has to read, until ctx ends.
type leaving struct {
	ctx     context.Context //nolint:containedctx // of the request
	to      io.Writer
	control *http.ResponseController
}

// Write implements [io.Writer].
func (l *leaving) Write(b []byte) (int, error) {
	if err := errors.Join(context.Cause(l.ctx), l.control.SetWriteDeadline(time.Now().Add(patience))); err != nil {
		return 0, err
	}
	return l.to.Write(b)
}

// receive receives into dir what a server sends.
func receive(ctx context.Context, holder http.RoundTripper, q *asked, dir string) (left backup.Tables, unsure bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(patience, func() { cancel(fmt.Errorf("nothing came for %v", patience)) })
	defer late.Stop()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	body, err := json.Marshal(q)
	if err != nil {
		return left, false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://holder"+Path, bytes.NewReader(body))
	if err != nil {
		return left, false, err
	}
	res, err := holder.RoundTrip(r)
	if err != nil {
		return left, false, err
	}
	defer func() { _ = res.Body.Close() }() // it was read, or nobody wants it
	if res.StatusCode != http.StatusOK {
		const enough = 4 << 10
		why, _ := io.ReadAll(io.LimitReader(res.Body, enough))
		return left, false, fmt.Errorf("a server has answered %s: %s", res.Status, strings.TrimSpace(string(why)))
	}
	in := bufio.NewReader(&arriving{res.Body, late})
	var h head
	if err := readHead(in, &h); err != nil {
		return left, false, err
	}
	// If a table is damaged, another holder may have it whole.
	out, err := parcel.Receive(nil, dir, func(name string) error { return engine.CheckFile(nil, name) })
	if err != nil {
		return left, false, err
	}
	_, err = io.Copy(out, in)
	if whole := out.Close(); err == nil {
		err = whole
	}
	for _, f := range h.Tables {
		if err == nil && f.Name == filepath.Base(f.Name) {
			at := time.Unix(0, f.Modified)
			err = os.Chtimes(filepath.Join(dir, f.Name), at, at)
		}
	}
	return h.LeftOut, h.Unsure, err
}

// readHead reads the first line.
func readHead(in *bufio.Reader, h *head) error {
	var line []byte
	for {
		some, err := in.ReadSlice('\n')
		line = append(line, some...)
		switch {
		case err == nil:
			return json.Unmarshal(line, h)
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		case len(line) > maxList:
			return errors.New("the list of tables is too long")
		}
	}
}

// arriving is an answer that puts off the end of the patience.
type arriving struct {
	from io.Reader
	late *time.Timer
}

// Read implements [io.Reader].
func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.from.Read(b)
	a.late.Reset(patience)
	return n, err
}
