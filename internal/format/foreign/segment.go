package foreign

import (
	"trackway"
	"trackway/internal/format"
	"trackway/internal/format/segment"
	"trackway/internal/format/value"
)

// decodeSegment reads a message of Segment or RudderStack as their storage
// destinations write it, one a line: the whole call, with what the vendor adds,
// such as receivedAt
// (segment.com/docs/connections/storage/catalog/aws-s3, "Data format";
// rudderstack.com/docs/destinations/streaming-destinations/amazon-s3).
//
// It becomes what the same message becomes if a client sends it to this server:
// see package segment. But an old message without a time did not happen now.
func decodeSegment(line []byte, from *Source) ([]trackway.Command, *trackway.Error) {
	o, ok := read(line)
	if !ok {
		return nil, errObject
	}
	commands, err := from.sent(segment.Import, `{"batch":[`, line, `]}`)
	for i := range commands {
		c := &commands[i]
		if err != nil || c.TimeGiven {
			continue
		}
		if c.Time, err = timeOf("receivedAt", o.get("receivedAt")); err == nil {
			c.TimeGiven, c.TimeVaries = true, false
		} else if o.get("receivedAt").Absent() {
			err = value.Required("timestamp")
		}
	}
	if err != nil {
		return nil, err
	}
	return commands, nil
}

// sent returns the commands of a body that is built from the parts of a line,
// in the format of clients. The first error refuses the whole line.
func (s *Source) sent(f *format.Format, before string, line []byte, after string) ([]trackway.Command, *trackway.Error) {
	body := make([]byte, 0, len(before)+len(line)+len(after))
	body = append(append(append(body, before...), line...), after...)
	b, err := f.Decode(s.Project, body, s.Received)
	if err != nil {
		return nil, err
	}
	for i := range b.Results {
		if err := b.Results[i].Err; err != nil {
			return nil, plain(f, err)
		}
	}
	return b.Commands, nil
}

// plain converts an error of a format into one with the words of that format,
// because an import has its own words for the same reasons.
func plain(f *format.Format, err *trackway.Error) *trackway.Error {
	return &trackway.Error{Code: err.Code, Field: err.Field, Msg: f.Text(err)}
}
