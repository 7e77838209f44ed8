package partition

import (
	"testing"

	"trackway"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, part := range []int{0, 1, Most - 1} {
		for _, local := range []uint32{1, 2, MostProjects} {
			number := Global(part, local)
			if Of(number) != part || Local(number) != local {
				t.Errorf("project %d of partition %d: got %d, which is %d of %d", local, part, number, Local(number), Of(number))
			}
		}
	}
	if got := Global(3, 0); got != 0 {
		t.Errorf("an unknown project: got %d", got)
	}
	if got := Global(0, 7); got != 7 {
		t.Errorf("the first partition: got %d, want the number of the store", got)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	all := []trackway.Project{{Name: "a", Number: 1}, {Name: "b", Number: Global(2, 1)}, {Name: "c", Number: Global(2, 9)}}
	if got := Split(all, 1); len(got) != 1 || len(got[0]) != 3 || got[0][2].Number != all[2].Number {
		t.Errorf("one partition: got %v", got)
	}
	got := Split(all, 3)
	if len(got) != 3 || len(got[0]) != 1 || len(got[1]) != 0 || len(got[2]) != 2 || got[2][0].Number != 1 || got[2][1].Number != 9 {
		t.Errorf("three: got %v", got)
	}
	if Of(all[1].Number) != 2 {
		t.Error("the list was changed")
	}
}
