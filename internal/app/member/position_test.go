package member

import "testing"

// TestIndex: a reader may name positions of several partitions. Each partition
// takes its own, and refuses what no server of the cluster can have sent.
func TestIndex(t *testing.T) {
	t.Parallel()
	m := &Member{parts: make([]*Part, 3)}
	for i := range m.parts {
		m.parts[i] = &Part{Member: m, number: i}
	}
	for at, want := range map[string][3]uint64{
		"0.7":                    {7, 0, 0},
		"2.18446744073709551615": {0, 0, 1<<64 - 1},
		"0.7,1.9":                {7, 9, 0},
		"1.9, 0.7, 1.12":         {7, 12, 0},
	} {
		for i, p := range m.parts {
			if got, err := p.index(at); got != want[i] || err != nil {
				t.Errorf("%q in partition %d: got %d, %v, want %d", at, i, got, err, want[i])
			}
		}
	}
	for _, at := range []string{"3.1", "0", "0.", ".1", "0.7,", "x", "0.7 1.9", "-1.2", "0.18446744073709551616", "256.1"} {
		if _, err := m.parts[0].index(at); err == nil {
			t.Errorf("%q: got no error", at)
		}
	}
	for number, want := range map[uint32]int{1: 0, 2<<24 | 1: 2} {
		if got := m.Of(number); got != m.parts[want] {
			t.Errorf("project %d: got %v", number, got)
		}
	}
	if m.Of(0) != nil || m.Of(9<<24|1) != nil {
		t.Error("no project: got a partition")
	}
}
