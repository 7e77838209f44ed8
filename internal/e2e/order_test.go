package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// equalTimes is how many events of one customer have the same time.
const equalTimes = 40

// consentConfig is baseConfig with a consent category.
var consentConfig = strings.Replace(baseConfig, "    keys:\n", "    consent_categories: [{id: news}]\n    keys:\n", 1) + wideLimits

// numberOf returns the number in the properties of this test's events.
func numberOf(t *testing.T, properties any) int {
	t.Helper()
	n, ok := properties.(map[string]any)["n"].(float64)
	if !ok {
		t.Fatalf("got properties %v", properties)
	}
	return int(n)
}

// listed returns the numbers of a list of events under a key of an answer.
func listed(t *testing.T, res response, key string) (numbers []int) {
	t.Helper()
	var answer map[string]any
	if err := json.Unmarshal(res.body, &answer); err != nil {
		t.Fatalf("%v: %v", err, res)
	}
	rows, _ := answer[key].([]any)
	for _, row := range rows {
		if e := row.(map[string]any); e["type"] == "consent" {
			numbers = append(numbers, numberOf(t, e["properties"]))
		}
	}
	return numbers
}

// TestEqualTimes: every interface returns events of equal time in the order of
// arrival, also after a merge and after an export and import. If two consents
// have the same time, the later one counts.
func TestEqualTimes(t *testing.T) {
	t.Parallel()
	s := start(t, consentConfig)
	ids := map[string]any{"registered": "jane"}
	var want []int
	for n := range equalTimes {
		of := map[string]any{"cookie": "c" + strconv.Itoa(n%2)} // two customers, until they are merged
		if n%3 == 0 {
			of = ids
		}
		action := map[bool]string{true: "accept", false: "reject"}[n%2 == 0]
		s.track(t, "customers/events", map[string]any{
			"customer_ids": of, "event_type": "consent", "timestamp": 1700000000,
			"properties": map[string]any{"n": n, "category": "news", "action": action, "valid_until": "unlimited"},
		})
		want = append(want, n)
	}
	for _, cookie := range []string{"c0", "c1"} {
		s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "jane", "cookie": cookie}})
	}
	s.checkEqualTimes(t, ids, want)

	exported := filepath.Join(filepath.Dir(s.config), "all.ndjson")
	text := s.run(t, 0, "export", "--format", "ndjson")
	if err := os.WriteFile(exported, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, consentConfig)
	again.run(t, 0, "import", "-q", exported)
	again.checkEqualTimes(t, ids, want)
	number := regexp.MustCompile(`"n"+:(\d+)`) // CSV doubles quotes
	for _, format := range []string{"ndjson", "csv"} {
		var got []int
		for _, found := range number.FindAllStringSubmatch(again.run(t, 0, "export", "--events", "--format", format), -1) {
			n, err := strconv.Atoi(found[1])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", format, got, want)
		}
	}
}

// checkEqualTimes reads the events of a customer from every route that lists
// them.
func (s *server) checkEqualTimes(t *testing.T, ids map[string]any, want []int) {
	t.Helper()
	var got []int
	for _, e := range s.exportOne(t, ids).Events {
		if e.Type == "consent" {
			got = append(got, numberOf(t, e.Properties))
		}
	}
	check := func(what string, got, want []int) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("export-one", got, want)
	newest := slices.Clone(want)
	slices.Reverse(newest)
	for _, c := range []struct {
		order       string
		skip, limit int
		want        []int
	}{
		{"asc", 0, 1000, want},
		{"desc", 0, 1000, newest},
		{"asc", 7, 11, want[7:18]},
		{"desc", 7, 11, newest[7:18]},
	} {
		body := map[string]any{"customer_ids": ids, "event_types": []string{"consent"}, "order": c.order, "skip": c.skip, "limit": c.limit}
		res := s.do(t, request{path: "/data/v2/projects/{token}/customers/events", body: encode(t, body)})
		check(fmt.Sprintf("events %+v", c), listed(t, res, "data"), c.want)
	}
	body := map[string]any{"customer_ids": ids, "attributes": []any{map[string]any{"type": "consent", "category": "news"}}}
	res := s.do(t, request{path: "/data/v2/projects/{token}/customers/attributes", body: encode(t, body)})
	if accepted := want[len(want)-1]%2 == 0; !strings.Contains(string(res.body), fmt.Sprintf(`"value":%t`, accepted)) {
		t.Errorf("consent: got %v, want %t, as the last event says", res, accepted)
	}
	for order, want := range map[string][]int{"oldest": want, "newest": newest} {
		var got []int
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			path := "/api/projects/{token}/customers/registered=jane/events?type=consent&rows=7&order=" + order + "&cursor=" + cursor
			res := s.do(t, request{method: "GET", path: path, auth: "private"})
			var answer struct{ Next string }
			if err := json.Unmarshal(res.body, &answer); err != nil || pages > len(want) {
				t.Fatalf("page %d: %v, %v", pages, err, res)
			}
			got, cursor = append(got, listed(t, res, "rows")...), answer.Next
		}
		check("pages "+order, got, want)
	}
}
