package position

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

type waits struct {
	lacks bool
	on    []string
	err   error
}

func (*waits) Position() string { return "3.90" }

// Leader implements [Log].
func (*waits) Leader() http.RoundTripper { return nil }

func (w *waits) Reach(_ context.Context, at string, _ bool) error {
	w.on = append(w.on, at)
	return w.err
}

// Current implements [Log].
func (w *waits) Current() bool { return !w.lacks }

// TestCurrent: a reader waits while this server lacks what it has acknowledged
// itself.
func TestCurrent(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, ErrBehind} {
		w := &waits{lacks: true, err: err}
		if got := Await(t.Context(), w, &http.Request{URL: &url.URL{}}); !errors.Is(got, err) || !slices.Equal(w.on, []string{""}) {
			t.Errorf("got %v, waited for %q; want %v", got, w.on, err)
		}
	}
	tag := map[string][]string{"If-None-Match": {`"3.17-abc"`}}
	for _, test := range []struct {
		query  string
		header http.Header
		want   []string
	}{
		{"", tag, []string{"", "3.17"}},
		{"", http.Header{Header: {"3.20"}}, []string{"3.20"}}, // which waits for its own, too
		{"consistency=strong", tag, []string{""}},
	} {
		w := &waits{lacks: true}
		if err := Await(t.Context(), w, &http.Request{URL: &url.URL{RawQuery: test.query}, Header: test.header}); err != nil || !slices.Equal(w.on, test.want) {
			t.Errorf("%q %v: got %v, waited for %q, want %q", test.query, test.header, err, w.on, test.want)
		}
	}
}

// TestTags: an entity tag names the last change of the data, and a reader that
// sends it waits for that change. If it is not reached, the reader gets what
// there is.
func TestTags(t *testing.T) {
	t.Parallel()
	w := &waits{err: errors.New("no such position")}
	if got := Tag(w, 17, `"abc-d"`); got != `"3.17-abc-d"` {
		t.Errorf("got %s", got)
	}
	if Tag(nil, 17, `"abc"`) != `"abc"` || Tag(w, 0, `"abc"`) != `"abc"` {
		t.Error("there is no position")
	}
	for tag, want := range map[string]string{
		`"3.17-abc-d"`: "3.17", `W/"3.17-abc"`: "3.17", `"3.17-abc", "x"`: "3.17",
		`"abc-d"`: "", `"abc"`: "", `*`: "", ``: "", `"3.17`: "",
	} {
		w.on = nil
		r := &http.Request{URL: &url.URL{}, Header: http.Header{"If-None-Match": {tag}}}
		if err := Await(t.Context(), w, r); err != nil {
			t.Errorf("%s: got %v", tag, err)
		}
		if Await(Stay(t.Context()), w, r) != nil || len(w.on) > 1 {
			t.Errorf("%s: a reader that must be answered here waits", tag)
		}
		if got := append(w.on, ""); got[0] != want {
			t.Errorf("%s: waited for %q, want %q", tag, got[0], want)
		}
	}
	w.on, w.err = nil, ErrBehind
	r := &http.Request{URL: &url.URL{}, Header: http.Header{"If-None-Match": {`"3.17-abc"`}}}
	if err := Await(t.Context(), w, r); !errors.Is(err, ErrBehind) {
		t.Errorf("the leader may have it: got %v", err)
	}
	w.on = nil
	r = &http.Request{URL: &url.URL{}, Header: http.Header{"If-None-Match": {`"3.17-abc"`}, Header: {"3.20"}}}
	if err := Await(t.Context(), w, r); err == nil || !slices.Equal(w.on, []string{"3.20"}) {
		t.Errorf("got %v, waited for %q", err, w.on)
	}
}
