package api

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"trackway/internal/api/room"
)

// TestAnswersHoldTheirMemory: the memory of an answer is held until the answer
// is sent, however slowly it is read, and no longer. If others hold the memory,
// a question gets a 503.
func TestAnswersHoldTheirMemory(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.withKeys(every)
	r.fill()
	r.dashboard.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", strconv.Itoa(3000))
		w.WriteHeader(http.StatusOK)
		_, err := w.Write(make([]byte, 3000))
		return err
	}
	ask := func(path string, write func(w *slowReader)) int {
		q := httptest.NewRequest(http.MethodGet, path, nil)
		q.Header.Set("Authorization", asKey("all")[1])
		w := &slowReader{ResponseRecorder: httptest.NewRecorder()}
		w.write = func() { write(w) }
		r.Server.ServeHTTP(w, q)
		return w.Code
	}
	for _, path := range []string{"/api/projects/" + projectToken + "/customers", "/api/projects/" + projectToken + "/events", "/grid/events"} {
		var held int
		if code := ask(path, func(*slowReader) { held = r.reader.answers.Used() }); code != http.StatusOK || held == 0 || held >= pageBytes {
			t.Errorf("%s: got %d, %d bytes are held while it is read", path, code, held)
		}
		if n := r.reader.answers.Used(); n != 0 {
			t.Errorf("%s: %d bytes are held in the end", path, n)
		}
		var others [3]room.Holding // which leave less than a page
		for i := range others {
			others[i].Open(r.reader.answers, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), time.Now(), nil)
			if err := others[i].Settle((r.reader.answers.Size()/8*7 - pageBytes/2) / len(others)); err != nil {
				t.Fatal(err)
			}
		}
		if code := ask(path, func(*slowReader) {}); code != http.StatusServiceUnavailable {
			t.Errorf("%s: got %d though others hold the memory", path, code)
		}
		for i := range others {
			others[i].Release()
		}
	}
}

// TestQuestionsFollowTheMemory: there is memory for all questions that may be
// answered at the same time, however much memory the process may use.
func TestQuestionsFollowTheMemory(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{1: 2, 8 << 20: 2, 64 << 20: 6, maxAnswerMemory: 12, 1 << 30: maxQuestions} {
		memory := newAnswerMemory(size)
		n := newPlaces(memory).questions.Counts().Size
		if n != want {
			t.Errorf("%d bytes: got %d questions, want %d", size, n, want)
		}
		for i := range n {
			var h room.Holding
			h.Open(memory, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), time.Now(), nil)
			if err := h.Settle(pageBytes); err != nil {
				t.Errorf("%d bytes, question %d of %d: %v", size, i+1, n, err)
			}
		}
	}
}
