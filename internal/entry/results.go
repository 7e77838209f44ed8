package entry

import (
	"encoding/binary"
	"fmt"

	"trackway"
)

// AppendResults appends the encoding of an entry's results to b. It leaves out
// those of commands that were refused before they came to the store, which
// their appender knows. A machine keeps this encoding, and a server that
// applied an entry sends it to the appender.
func AppendResults(b []byte, e Entry) []byte {
	switch e := e.(type) {
	case *Commands:
		for i := range e.Requests {
			b = e.Requests[i].appendResults(b)
		}
	case *Register:
		for i := range e.Projects {
			b = binary.AppendUvarint(b, uint64(e.Projects[i].Number))
			b = appendString(b, e.Projects[i].Conflict)
		}
	case *Rewrite:
		b = appendList(b, e.Places, func(b []byte, p Place) []byte {
			return appendCustomer(binary.AppendUvarint(b, p.Seq), p.Customer)
		})
	case *Erase:
		b = binary.AppendUvarint(append(b, byte(e.Outcome)), e.ID)
		b = appendList(appendCustomer(b, e.Erased), e.Gone, appendID)
	case *Settle:
		b = appendFlags(b, e.More)
	case *Expire:
		b = binary.AppendUvarint(b, uint64(e.Removed))
	case *Notes:
		b = binary.AppendUvarint(b, e.Now)
	case *Assign:
		b = appendPartitions(b, e.Partitions)
	}
	return b
}

// DecodeResults puts encoded results into e, which must be the entry that had
// them. It copies what it needs of b. Errors: errCorrupt.
func DecodeResults(b []byte, e Entry) error {
	r := reader{rest: b, text: string(b)}
	switch e := e.(type) {
	case *Commands:
		for i := range e.Requests {
			e.Requests[i].decodeResults(&r)
		}
	case *Register:
		for i := range e.Projects {
			e.Projects[i].Number, e.Projects[i].Conflict = r.project(), r.string()
		}
	case *Rewrite:
		e.Places = list(&r, 2, func(r *reader) Place { return Place{r.uvarint(), r.customer()} })
	case *Erase:
		e.Outcome = outcome(r.flags(7))
		e.ID, e.Erased, e.Gone = r.uvarint(), r.customer(), list(&r, leastID, (*reader).id)
	case *Settle:
		e.More = r.flags(1) != 0
	case *Expire:
		e.Removed = int(r.uvarint())
	case *Notes:
		e.Now = r.uvarint()
	case *Assign:
		e.Partitions = r.partitions(len(e.Tokens))
	}
	if r.bad || len(r.rest) > 0 {
		return fmt.Errorf("results of kind %d: %w", e.Kind(), errCorrupt)
	}
	return nil
}

// appendFlags appends a byte with a bit for each flag.
func appendFlags(b []byte, flags ...bool) []byte {
	var all byte
	for i, set := range flags {
		if set {
			all |= 1 << i
		}
	}
	return append(b, all)
}

const flagCrowded = 1

const (
	flagDuplicate = 1 << iota
	flagRefused
)

func (r *Request) appendResults(b []byte) []byte {
	b = appendFlags(binary.AppendUvarint(b, uint64(r.Done)), r.Crowded != nil)
	if c := r.Crowded; c != nil {
		b = appendCustomer(binary.AppendUvarint(b, uint64(c.Project)), c.Customer)
		b = binary.AppendUvarint(b, uint64(c.Excess))
	}
	for i := range r.Done {
		if r.Commands[i].Kind == trackway.Nothing {
			continue
		}
		one := &r.Results[i]
		b = appendFlags(b, one.Duplicate, one.Err != nil)
		b = binary.AppendUvarint(appendCustomer(b, one.Customer), one.Seq)
		if e := one.Err; e != nil {
			for _, text := range []string{string(e.Code), e.Field, string(e.Reason), e.What, e.Msg} {
				b = appendString(b, text)
			}
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.Limit)), uint64(e.Got))
		}
	}
	return b
}

func (r *Request) decodeResults(from *reader) {
	r.Done, r.Crowded = 0, nil
	done := from.uvarint()
	if done > uint64(len(r.Commands)) {
		from.fail()
		return
	}
	r.Done = int(done)
	if from.flags(flagCrowded) != 0 {
		r.Crowded = &Crowded{Project: from.project(), Customer: from.customer(), Excess: int(from.uvarint())}
	}
	for i := range r.Done {
		if r.Commands[i].Kind == trackway.Nothing {
			continue
		}
		flags := from.flags(flagDuplicate | flagRefused)
		result := trackway.Result{Duplicate: flags&flagDuplicate != 0, Customer: from.customer(), Seq: from.uvarint()}
		if flags&flagRefused != 0 {
			result.Err = &trackway.Error{
				Code: trackway.Code(from.string()), Field: from.string(), Reason: trackway.Code(from.string()), What: from.string(), Msg: from.string(),
				Limit: int(from.uvarint()), Got: int(from.uvarint()),
			}
		}
		r.Results[i] = result
	}
}
