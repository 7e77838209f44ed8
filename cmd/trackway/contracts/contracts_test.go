package contracts

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/contract/suggest"
)

// TestProposals: what is not proposed is a comment, so that the output can be
// pasted. An answer of the server has null there.
func TestProposals(t *testing.T) {
	t.Parallel()
	var all []suggest.Proposal
	const answer = `[
		{"type": "rare", "events": 1, "checked": 0, "broken": 0, "why": "there are too few events", "schema": null},
		{"type": "buy", "events": 200, "checked": 200, "broken": 1, "why": "", "schema": {"type": "object"}}]`
	if err := json.Unmarshal([]byte(answer), &all); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	printProposals(&out, all)
	const want = `# rare: nothing is proposed, because there are too few events
contracts:
  # 1 of the newest 200 events would have broken it
  - type: "buy"
    action: report
    schema: {"type": "object"}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
