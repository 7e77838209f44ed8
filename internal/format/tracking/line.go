package tracking

import (
	"trackway"
)

// DecodeLine decodes one command that stands alone, as an element of a batch stands in its array: a line of a file that is
// imported. What is wrong with it is the item's error. Strings and values are parts of line, as everywhere here.
//
//	{"name":"customers/events","data":{"customer_ids":{"registered":"x"},"event_type":"visit","timestamp":1533495544.34}}
func DecodeLine(line []byte, received trackway.Micros) Item {
	d := newDecoder(line, received)
	item := d.item()
	if d.End(); d.Bad() {
		return Item{Err: errJSON}
	}
	return item
}
