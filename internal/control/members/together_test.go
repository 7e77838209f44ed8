package members

import "testing"

// TestTogether: the status of several partitions says which one is not as it
// should be, and says once what is wrong with all of them.
func TestTogether(t *testing.T) {
	t.Parallel()
	const down = "b:1 does not answer."
	good, warn := Status{Name: "eu", Level: Good, Term: 3}, Status{Level: Warn, Trouble: down, Term: 4}
	bad := Status{Level: Bad, Trouble: "No server leads.", Ready: "no server leads", Starting: true}
	for name, test := range map[string]struct {
		of   []Status
		want Status
	}{
		"all is well":   {[]Status{good, good}, Status{Level: Good}},
		"all have it":   {[]Status{warn, warn, warn}, Status{Level: Warn, Trouble: down}},
		"one has it":    {[]Status{good, warn}, Status{Level: Warn, Trouble: "Partition p01: " + down}},
		"the worst":     {[]Status{warn, bad, good}, Status{Level: Bad, Trouble: "Partition p01: No server leads.", Starting: true}},
		"two of three":  {[]Status{warn, good, warn}, Status{Level: Warn, Trouble: "Partition p00: " + down + " Partition p02: " + down}},
		"the first one": {[]Status{bad, good}, Status{Level: Bad, Trouble: "Partition p00: No server leads.", Starting: true}},
	} {
		got := Together(test.of, name)
		if got.Level != test.want.Level || got.Trouble != test.want.Trouble || got.Ready != name || got.Starting != test.want.Starting {
			t.Errorf("%s: got %q %q %q %v, want %q %q %v", name, got.Level, got.Trouble, got.Ready, got.Starting, test.want.Level, test.want.Trouble, test.want.Starting)
		}
		if len(got.Partitions) != len(test.of) || got.Term != test.of[0].Term || got.Partitions[1].Term != test.of[1].Term || got.Partitions[1].Number != 1 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
