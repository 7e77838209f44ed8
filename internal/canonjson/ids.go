package canonjson

import (
	"iter"

	"trackway"
)

// AppendIDs appends identifiers as readers get them: a string for a hard one,
// an array for soft ones of the same name, in the order given.
//
//	{"registered":"x","cookie":["c1","c2"]}
func AppendIDs(dst []byte, ids []trackway.Identifier) []byte {
	dst = append(dst, '{')
	for i, id := range ids {
		if indexOfName(ids[:i], id.Name) >= 0 {
			continue // already in the array
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, id.Name), ':')
		dst = AppendID(dst, ids[i:], id.Name)
	}
	return append(dst, '}')
}

func indexOfName(ids []trackway.Identifier, name string) int {
	for i := range ids {
		if ids[i].Name == name {
			return i
		}
	}
	return -1
}

// appendValues appends the values of all ids of a name, as an array of strings.
func appendValues(dst []byte, ids []trackway.Identifier, name string) []byte {
	dst = append(dst, '[')
	for _, id := range ids {
		if id.Name != name {
			continue
		}
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, id.Value)
	}
	return append(dst, ']')
}

// AppendID appends the value of the identifier called name as readers get it,
// or null if there is no such identifier.
func AppendID(dst []byte, ids []trackway.Identifier, name string) []byte {
	i := indexOfName(ids, name)
	switch {
	case i < 0:
		return append(dst, "null"...)
	case ids[i].Hard:
		return AppendString(dst, ids[i].Value)
	}
	return appendValues(dst, ids[i:], name)
}

// IDsIn is the inverse of [AppendIDs]: it yields a hard identifier for a
// string, and soft ones for an array of strings. It skips members of another
// kind. Names and values are parts of obj if they have no escapes.
func IDsIn(obj []byte) iter.Seq[trackway.Identifier] {
	return func(yield func(trackway.Identifier) bool) {
		s := Scan(obj)
		for name := range s.Members {
			if s.Peek() != Array {
				if v := s.Value(); v.Kind == String && !yield(trackway.Identifier{Name: name, Value: v.Text(), Hard: true}) {
					return
				}
				continue
			}
			for range s.Elements {
				if v := s.Value(); v.Kind == String && !yield(trackway.Identifier{Name: name, Value: v.Text()}) {
					return
				}
			}
		}
	}
}
