package config

import "trackway/internal/config/traces"

// traces checks and translates the section.
func (d *doc) traces() traces.Traces {
	s := &d.file.Traces
	out := s.Check(d.Doc)
	for i := range s.Headers {
		h := &s.Headers[i]
		f := forms{"value", &h.Value, nil, &h.ValueEnv, &h.ValueFile}
		if f.given(d) != 1 {
			d.missing(h, "needs exactly one of %s", f)
			continue
		}
		text := d.credential(f)
		if !traces.IsValue(text) {
			d.missing(h, "needs a value that fits into a header field: one line, without spaces around it")
		}
		if out.Headers == nil {
			out.Headers = make(map[string]string)
		}
		out.Headers[h.Name] = text
	}
	return out
}
