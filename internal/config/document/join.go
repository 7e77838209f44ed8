package document

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"trackway/internal/config/setting"
)

// Join appends the list of another file to a list. Both are lists of the
// sections of a field. In messages, the indexes of the appended sections go on
// from those of the list.
func Join[T any](d *Doc, list *[]T, more []T, file, field string) {
	all := make([]T, 0, len(*list)+len(more))
	for i := range *list {
		all = append(all, (*list)[i])
		d.move(reflect.ValueOf(&(*list)[i]).Elem(), reflect.ValueOf(&all[i]).Elem())
	}
	for i := range slices.Backward(more) { // from the end, or an index would be taken for one that was moved
		d.rename(file, field+"["+strconv.Itoa(i)+"]", field+"["+strconv.Itoa(len(all)+i)+"]")
	}
	for i := range more {
		all = append(all, more[i])
		d.move(reflect.ValueOf(&more[i]).Elem(), reflect.ValueOf(&all[len(all)-1]).Elem())
	}
	*list = all
}

// move moves the places of a section, and of what is directly in it, to a copy.
// The elements of its lists are at the same addresses in the copy.
func (d *Doc) move(from, to reflect.Value) {
	if p, ok := d.Places[from.Addr().Interface()]; ok {
		delete(d.Places, from.Addr().Interface())
		d.Places[to.Addr().Interface()] = p
	}
	if from.Kind() != reflect.Struct {
		return
	}
	copies := setting.Fields(to)
	for i, f := range setting.Fields(from) {
		d.move(f.Value, copies[i].Value)
	}
}

// rename replaces the beginning of the fields in a file, and in its problems.
func (d *Doc) rename(file, from, to string) {
	for at, p := range d.Places {
		if rest, ok := strings.CutPrefix(p.Field, from); ok && p.File == file {
			p.Field = to + rest
			d.Places[at] = p
		}
	}
	for i := range d.Problems {
		p := &d.Problems[i]
		if rest, ok := strings.CutPrefix(p.Field, from); ok && p.File == file {
			p.Field = to + rest
		}
	}
}
