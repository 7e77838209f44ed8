package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/canonjson"
	"trackway/internal/live"
	"trackway/internal/partition"
	"trackway/internal/rates"
)

const (
	mostStreams = 100
	mostAtOnce  = 50                     // items sent together
	sendEvery   = 100 * time.Millisecond // nobody reads 500 events a second, and sending takes time from writers
	sendTime    = 20 * time.Second       // to send them; a slower client is cut off
	tick        = time.Second            // between counts
	aliveTicks  = 15                     // between signs of life
)

// stream sends events to one watcher, as server-sent events (WHATWG HTML
// section 9.2).
type stream struct {
	*request

	watcher *live.Watcher
	control *http.ResponseController
	project uint32    // 0: all
	mark    live.Mark // how far they were sent
	dropped uint64    // since the watcher was last told
	leftOut uint64    // version of what was sent of it
	ticks   int
	events  bool   // the watcher gets events
	told    []byte // of the cluster
	b       []byte
}

// live sends events as they become durable, and refused commands, until the
// watcher leaves or the session ends.
func (q *request) live() error {
	filter, err := q.filter()
	if err != nil {
		return err
	}
	after := parseMark(q.r.Header.Get("Last-Event-ID"))
	if q.streams.Add(1) > mostStreams {
		q.streams.Add(-1)
		return errSlow
	}
	defer q.streams.Add(-1)
	w, err := q.Live.Watch(filter, after)
	if errors.Is(err, live.ErrEnded) {
		return errSlow
	} else if err != nil {
		return err
	}
	defer w.Close()
	st := &stream{request: q, watcher: w, control: http.NewResponseController(q.w), project: filter.Project, events: filter.Events}
	st.mark = w.Start()
	h := q.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would buffer
	_ = st.control.SetReadDeadline(time.Time{})
	st.b = append(st.b, "retry: 2000\n\n"...)
	st.leftOuts(time.Now())
	if q.r.Method != http.MethodHead && st.send() {
		st.run()
	}
	return nil
}

func (q *request) filter() (f live.Filter, err error) {
	rejected, err := q.oneOf("rejected", "0", "1", "only")
	if err != nil {
		return f, err
	}
	f = live.Filter{Events: rejected != "only", Rejected: rejected != "0"}
	for _, typ := range q.r.URL.Query()["type"] {
		if typ != "" {
			f.Types = append(f.Types, typ)
		}
	}
	if token := q.param("project"); token != "" {
		p, err := q.open(token)
		if err != nil {
			return f, err
		}
		f.Project = p.Number
	}
	if text := q.param("customer"); text != "" {
		if f.Project == 0 {
			return f, ask.Invalid("project", "the project of the customer")
		}
		f.Customer, err = parseCustomer(text)
	}
	return f, err
}

// formatMark returns the id of an event: its sequence number, or, with several
// partitions, the last one of each, and the number of the last refused command.
func formatMark(m *live.Mark) []byte {
	b := make([]byte, 0, 32)
	for i, seq := range m.Seqs {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, seq, 10)
	}
	if len(m.Seqs) == 0 {
		b = append(b, '0')
	}
	return strconv.AppendUint(append(b, '.'), m.Rejection, 10)
}

// parseMark parses an event id as this server sends it. It returns the mark of
// a new watcher for an id that it does not understand.
func parseMark(id string) *live.Mark {
	seqs, rejection, _ := strings.Cut(id, ".")
	var m live.Mark
	for text := range strings.SplitSeq(seqs, "-") {
		seq, err := strconv.ParseUint(text, 10, 64)
		if err != nil || len(m.Seqs) == partition.Most {
			return nil
		}
		m.Seqs = append(m.Seqs, seq)
	}
	m.Rejection, _ = strconv.ParseUint(rejection, 10, 64) // if it is missing: all that are remembered
	return &m
}

// run sends until there is a reason to stop.
func (st *stream) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var rest <-chan time.Time // while it is not nil, the next items wait for it
	ready := st.watcher.Ready()
	for {
		select {
		case <-st.r.Context().Done():
			return
		case <-st.session.Ended:
			return
		case <-ready:
			if st.ended(time.Now()) || !st.items() {
				return
			}
			ready, rest = nil, time.After(sendEvery)
		case <-rest:
			ready, rest = st.watcher.Ready(), nil
		case now := <-ticker.C:
			if st.ended(now) {
				return
			}
			st.tick(now)
		}
		if !st.send() {
			return
		}
	}
}

// ended reports whether the session has ended, by its time, by a new password
// or by other roles. It also takes over the configuration in force, which may
// list more personal properties than when the stream began.
func (st *stream) ended(now time.Time) bool {
	inForce := st.Server.facts.Load()
	_, user := st.who(inForce, st.r, st.from, now)
	if user == nil {
		return true
	}
	st.facts, st.user = inForce, user
	return false
}

func (st *stream) send() bool {
	if len(st.b) == 0 {
		return true
	}
	_ = st.control.SetWriteDeadline(time.Now().Add(sendTime)) // not every writer supports deadlines
	_, err := st.w.Write(st.b)
	st.b = st.b[:0]
	return err == nil && st.control.Flush() == nil
}

// items writes new items, and reports whether more can be written.
func (st *stream) items() bool {
	items, dropped, err := st.watcher.Take(mostAtOnce)
	if err != nil {
		return false
	}
	st.dropped += dropped
	for _, it := range items {
		if it.Event != nil {
			err = st.event(it.Event)
		} else {
			err = st.rejected(it.Rejection)
		}
		if err != nil {
			st.Logger.Error("stream broken off", "err", err)
			return false
		}
	}
	return true
}

// end writes the data of a stream event. JSON has no line feeds.
func (st *stream) end(v any) error {
	data, err := json.Marshal(v)
	st.b = append(append(st.b, data...), "\n\n"...)
	return err
}

// event writes an event. It appends by hand, because a busy server sends many.
func (st *stream) event(e *trackway.Event) error {
	st.mark.See(e)
	p := st.facts.byNumber[e.Project]
	if p == nil || !st.sees(p) {
		return nil // the configuration no longer has the project, or the user has no role in it
	}
	who, ids, err := st.Log(e.Project).Current(e.Project, e.Customer)
	if err != nil {
		return err
	}
	if !st.seesPersonal(p) {
		ids = nil
	}
	st.begin("event")
	b := append(strconv.AppendUint(append(st.b, `{"seq":"`...), e.Seq, 10), `","project":`...)
	b = canonjson.AppendString(append(canonjson.AppendString(b, p.Token), `,"type":`...), e.Type)
	b = e.Time.AppendSeconds(append(b, `,"time":`...))
	b = e.Received.AppendSeconds(append(b, `,"received":`...))
	b = strconv.AppendUint(append(b, `,"customer":"`...), uint64(who), 10)
	b = append(canonjson.AppendIDs(append(b, `","ids":`...), ids), `,"properties":`...)
	st.b = append(append(b, st.shownProperties(p, e)...), "}\n\n"...)
	return nil
}

// begin writes the head of a stream event that a watcher can resume from.
func (st *stream) begin(name string) {
	st.b = fmt.Appendf(st.b, "event: %s\nid: %s\ndata: ", name, formatMark(&st.mark))
}

func (st *stream) rejected(r *live.Rejection) error {
	st.mark.Rejection = r.Number
	p := st.facts.byNumber[r.Project]
	if !st.sees(p) {
		return nil
	}
	var token *string
	if p != nil {
		token = &p.Token
	}
	var ids json.RawMessage
	address, command, field, reason := "", r.Command, r.Field, r.Reason
	if st.seesPersonal(p) {
		address = addressText(r.Address)
		if len(r.IDs) > 0 {
			ids = appendIDs(p, r.IDs)
		}
	} else {
		field, reason = shownReason(field, reason)
		if field == "name" || field == "type" { // there is no such command, so its name may be anything
			command = ""
		}
	}
	st.begin("rejected")
	return st.end(struct {
		Project  *string         `json:"project"`
		Received seconds         `json:"received"`
		Command  string          `json:"command"`
		Type     *string         `json:"type"`
		IDs      json.RawMessage `json:"ids"`
		Field    *string         `json:"field"`
		Error    string          `json:"error"`
		Address  string          `json:"address"`
	}{token, seconds(r.Received), command, optional(r.Type), ids, optional(field), reason, address})
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "" // the caller's address is unknown
	}
	return a.String()
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// appendIDs writes the identifiers of a refused command as the API does. The
// project knows which of them are hard; they do not say it themselves.
func appendIDs(p *trackway.Project, ids []trackway.Identifier) []byte {
	ids = slices.Clone(ids)
	for i := range ids {
		ids[i].Hard = ids[i].Hard || p != nil && slices.Contains(p.Hard, ids[i].Name)
	}
	return canonjson.AppendIDs(nil, ids)
}

// tick writes the counts of the last second. Now and then it writes a sign of
// life, for proxies that close quiet connections.
func (st *stream) tick(now time.Time) {
	if st.ticks++; st.ticks%aliveTicks == 0 {
		st.b = append(st.b, ": alive\n\n"...)
	}
	st.leftOuts(now)
	st.cluster()
	dropped := st.dropped
	st.dropped = 0
	st.b = append(st.b, "event: stats\ndata: "...)
	_ = st.end(struct { // only numbers: it cannot fail
		Now seconds `json:"now"`
		counts

		Dropped uint64 `json:"dropped"`
	}{secondsOf(now), countsOf(func(k rates.Kind) uint64 { return st.Rates.LastSecond(now, k) }), dropped})
}

// leftOuts writes the identifiers that were recently left out of commands, if
// there are more than last time: all of them. They have no id to resume from.
func (st *stream) leftOuts(now time.Time) {
	list, version := st.Live.LeftOut(st.project, trackway.MicrosOf(now), st.leftOut)
	st.leftOut = version
	rows := make([]leftOutRow, 0, len(list))
	for i := range list {
		l := &list[i]
		if p := st.facts.byNumber[l.Project]; p != nil && st.sees(p) {
			address := ""
			if st.seesPersonal(p) {
				address = addressText(l.Address)
			}
			rows = append(rows, leftOutRow{
				Project: p.Token, Identifier: l.What.Name, Why: l.What.WhyLeftOut(), Value: optional(l.What.Value), Count: l.Count, First: seconds(l.First),
				Last: seconds(l.Last), Command: l.Command, Type: optional(l.Type), Address: address,
			})
		}
	}
	if len(rows) > 0 {
		st.b = append(st.b, "event: leftout\ndata: "...)
		_ = st.end(rows) // texts and numbers: it cannot fail
	}
}

type leftOutRow struct {
	Project    string  `json:"project"`
	Identifier string  `json:"identifier"`
	Why        string  `json:"why"`
	Value      *string `json:"value"`
	Count      uint64  `json:"count"`
	First      seconds `json:"first"`
	Last       seconds `json:"last"`
	Command    string  `json:"command"`
	Type       *string `json:"type"`
	Address    string  `json:"address"`
}
