package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// The numbers of fields are those of opentelemetry-proto 1.x:
// collector/logs/v1/logs_service.proto, logs/v1/logs.proto and
// common/v1/common.proto.

// field is one field of a message. Its content is in number or in bytes.
type field struct {
	id     protowire.Number
	typ    protowire.Type
	number uint64
	bytes  []byte
}

// next reads the first field of a message and returns the rest. ok is false if
// there is no complete field. It skips the content of groups, which no message
// here has.
func next(message []byte) (f field, rest []byte, ok bool) {
	id, typ, n := protowire.ConsumeTag(message)
	if n < 0 {
		return f, nil, false
	}
	f.id, f.typ = id, typ
	message = message[n:]
	switch typ {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(message)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(message)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(message)
	default:
		n = protowire.ConsumeFieldValue(id, typ, message)
	}
	if n < 0 {
		return f, nil, false
	}
	return f, message[n:], true
}

// is reports whether a field has a number and a type. A field of another type
// is an unknown field.
func (f *field) is(id protowire.Number, typ protowire.Type) bool { return f.id == id && f.typ == typ }

// decodeProto decodes a body in the encoding of protocol buffers. An error
// means that none of the records may be carried out. The error of a single
// record is in its result.
func decodeProto(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	d := protoDecoder{newBuilder(p, body, received)}
	if err := d.each(body, 1, d.resourceLogs); err != nil {
		return nil, err
	}
	return d.batch, nil
}

type protoDecoder struct{ *builder }

// each calls do for each message that is a field of a message. An error refuses
// the whole body.
func (d *protoDecoder) each(message []byte, id protowire.Number, do func([]byte) *trackway.Error) *trackway.Error {
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return errProto
		}
		message = rest
		if f.is(id, protowire.BytesType) {
			d.left = len(rest) + len(f.bytes)
			if err := do(f.bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// resourceLogs reads the records of a resource. The resource may follow them.
func (d *protoDecoder) resourceLogs(message []byte) *trackway.Error {
	d.resource.clear()
	err := d.each(message, 1, func(resource []byte) *trackway.Error { return d.attributes(&d.resource.attributes, resource, 1) })
	if err != nil {
		return err
	}
	d.share(&d.resource, "resource")
	return d.each(message, 2, d.scopeLogs)
}

func (d *protoDecoder) scopeLogs(message []byte) *trackway.Error {
	d.scope.clear()
	err := d.each(message, 1, func(scope []byte) *trackway.Error {
		for rest := scope; len(rest) > 0; {
			f, after, ok := next(rest)
			if !ok {
				return errProto
			}
			rest = after
			if start := len(d.json); f.typ == protowire.BytesType && (f.id == 1 || f.id == 2) && len(f.bytes) > 0 {
				d.json = canonjson.AppendString(d.json, textIn(f.bytes))
				d.add(&d.scope.attributes, map[protowire.Number]string{1: scopeName, 2: scopeVersion}[f.id], start)
			}
		}
		return d.attributes(&d.scope.attributes, scope, 3)
	})
	if err != nil {
		return err
	}
	d.share(&d.scope, "scope")
	return d.each(message, 2, d.logRecord)
}

// attributes reads the fields of a message that are attributes.
func (d *protoDecoder) attributes(a *attributes, message []byte, id protowire.Number) *trackway.Error {
	return d.each(message, id, func(attribute []byte) *trackway.Error { return d.attribute(a, attribute) })
}

// attribute reads a KeyValue.
func (d *protoDecoder) attribute(a *attributes, message []byte) *trackway.Error {
	key, raw, ok := keyValue(message)
	if !ok {
		return errProto
	}
	start := len(d.json)
	if err := d.value(a, key, raw); err != nil {
		return err
	}
	d.add(a, key, start)
	return nil
}

// keyValue returns the parts of a KeyValue.
func keyValue(message []byte) (key string, raw []byte, ok bool) {
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return "", nil, false
		}
		message = rest
		switch {
		case f.is(1, protowire.BytesType):
			key = textIn(f.bytes)
		case f.is(2, protowire.BytesType):
			raw = f.bytes
		}
	}
	return key, raw, true
}

// value appends an AnyValue to the builder's JSON in canonical form. A value
// that JSON cannot represent is noted in a, and becomes null.
func (d *protoDecoder) value(a *attributes, key string, raw []byte) *trackway.Error {
	w := writer{dst: d.json}
	start := len(w.dst)
	if err := w.proto(raw, 0); err != nil {
		return err
	}
	d.json = w.done(start)
	if w.fault != "" {
		a.fail(value.Expected("attributes."+value.Shown(key), w.fault))
	}
	return nil
}

// proto writes an AnyValue.
func (w *writer) proto(raw []byte, depth int) *trackway.Error {
	var last field // of several, the last one counts
	for len(raw) > 0 {
		f, rest, ok := next(raw)
		if !ok {
			return errProto
		}
		raw = rest
		switch {
		case f.is(1, protowire.BytesType), f.is(2, protowire.VarintType), f.is(3, protowire.VarintType), f.is(4, protowire.Fixed64Type),
			f.is(5, protowire.BytesType), f.is(6, protowire.BytesType), f.is(7, protowire.BytesType):
			last = f
		}
	}
	switch last.id {
	case 1:
		w.text(last.bytes)
	case 2:
		w.boolean(last.number != 0)
	case 3:
		w.integer(int64(last.number))
	case 4:
		w.double(math.Float64frombits(last.number))
	case 5:
		return w.protoList(last.bytes, depth, false)
	case 6:
		return w.protoList(last.bytes, depth, true)
	case 7:
		w.dst = append(w.dst, '"')
		w.dst = base64.StdEncoding.AppendEncode(w.dst, last.bytes)
		w.dst = append(w.dst, '"')
	default:
		w.null()
	}
	return nil
}

// protoList writes an ArrayValue, or a KeyValueList as an object.
func (w *writer) protoList(message []byte, depth int, object bool) *trackway.Error {
	if !w.open(object, depth) {
		return nil
	}
	for n := 0; len(message) > 0; {
		f, rest, ok := next(message)
		if !ok {
			return errProto
		}
		message = rest
		if !f.is(1, protowire.BytesType) {
			continue
		}
		raw := f.bytes
		if object {
			var key string
			if key, raw, ok = keyValue(f.bytes); !ok {
				return errProto
			}
			w.member(n, key)
		} else {
			w.element(n)
		}
		n++
		if err := w.proto(raw, depth+1); err != nil {
			return err
		}
	}
	w.close(object)
	return nil
}

func (d *protoDecoder) logRecord(message []byte) *trackway.Error {
	if d.records++; d.records > MaxRecords {
		return errRecords
	}
	d.one.clear()
	var r record
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return errProto
		}
		message = rest
		var err *trackway.Error
		switch {
		case f.is(1, protowire.Fixed64Type):
			r.time = f.number
		case f.is(11, protowire.Fixed64Type):
			r.observed = f.number
		case f.is(2, protowire.VarintType):
			r.severity = f.number
		case f.is(3, protowire.BytesType):
			r.severityText = textIn(f.bytes)
		case f.is(5, protowire.BytesType):
			start := len(d.json)
			err = d.value(&d.one, "body", f.bytes)
			r.body = d.json[start:len(d.json):len(d.json)]
		case f.is(6, protowire.BytesType):
			err = d.attribute(&d.one, f.bytes)
		case f.is(9, protowire.BytesType):
			r.traceID = hexOf(f.bytes)
		case f.is(10, protowire.BytesType):
			r.spanID = hexOf(f.bytes)
		case f.is(12, protowire.BytesType):
			r.name = textIn(f.bytes)
		}
		if err != nil {
			return err
		}
	}
	return d.finish(&r)
}

// textIn returns the content of a string field as a part of the body. It may
// not be valid UTF-8.
func textIn(content []byte) string {
	return unsafe.String(unsafe.SliceData(content), len(content)) //nolint:gosec // G103: a body is not changed as long as its parts are used
}

// hexOf returns the id of a trace or a span as people write it, or "" if it is
// all zeros.
func hexOf(id []byte) string {
	const longest = 16
	for _, c := range id {
		if c != 0 && len(id) <= longest {
			return hex.EncodeToString(id)
		}
	}
	return ""
}
