package trace

import (
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// message returns spans as OTLP has them. TracesData has the same encoding as
// ExportTraceServiceRequest, whose package depends on gRPC.
func (e *exporter) message(batch []*Span) *otlp.TracesData {
	spans := make([]*otlp.Span, len(batch))
	for i, s := range batch {
		spans[i] = s.message()
	}
	return &otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{
			pair(text("service.name", "trackway")), pair(text("service.version", e.Version)), pair(text("service.instance.id", e.Instance)),
		}},
		ScopeSpans: []*otlp.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "trackway", Version: e.Version}, Spans: spans}},
	}}}
}

func (s *Span) message() *otlp.Span {
	m := &otlp.Span{
		TraceId: s.trace[:], SpanId: s.own[:], Name: s.name, Flags: flags(true, s.kind == server && !s.linked && s.caller.valid()),
		StartTimeUnixNano: uint64(s.start.UnixNano()), EndTimeUnixNano: uint64(s.start.Add(s.end.Sub(s.start)).UnixNano()),
		Kind: s.kind,
	}
	if s.parent != [8]byte{} {
		m.ParentSpanId = s.parent[:]
	}
	if s.linked {
		m.Links = []*otlp.Span_Link{{TraceId: s.caller.trace[:], SpanId: s.caller.span[:], Flags: flags(s.caller.sampled, true)}}
	}
	for _, a := range s.attributes {
		m.Attributes = append(m.Attributes, pair(a))
	}
	if s.fault != "" {
		m.Attributes = append(m.Attributes, pair(text("error.type", s.fault)))
		m.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR}
	}
	return m
}

// flags returns the flags of a span or a link. recorded says whether the span,
// or the one that the link leads to, is recorded. remote says whether the
// span's parent, or the one that the link leads to, is another process's.
func flags(recorded, remote bool) uint32 {
	const sampled = 1
	f := uint32(otlp.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if recorded {
		f |= sampled
	}
	if remote {
		f |= uint32(otlp.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	return f
}

func pair(a Attribute) *common.KeyValue {
	v := &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: a.number}}
	if a.text != "" {
		v.Value = &common.AnyValue_StringValue{StringValue: a.text}
	}
	return &common.KeyValue{Key: a.key, Value: v}
}

// partial reads an ExportTraceServiceResponse: how many spans the collector has
// rejected, and its words. It ignores what it cannot read.
func partial(answer []byte) (rejected int, message string) {
	const partialSuccess, rejectedSpans, errorMessage = 1, 1, 2
	fields(answer, func(number protowire.Number, value []byte, _ uint64) {
		if number != partialSuccess {
			return
		}
		fields(value, func(number protowire.Number, value []byte, n uint64) {
			switch number {
			case rejectedSpans:
				rejected = int(min(n, mostTogether))
			case errorMessage:
				message = string(value)
			}
		})
	})
	return rejected, message
}

// fields calls yield for each field of a message, with its bytes or its number.
func fields(b []byte, yield func(number protowire.Number, value []byte, n uint64)) {
	for len(b) > 0 {
		number, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return
		}
		b = b[size:]
		size = protowire.ConsumeFieldValue(number, typ, b)
		if size < 0 {
			return
		}
		switch typ { // the others have no field here
		case protowire.BytesType:
			value, _ := protowire.ConsumeBytes(b)
			yield(number, value, 0)
		case protowire.VarintType:
			n, _ := protowire.ConsumeVarint(b)
			yield(number, nil, n)
		}
		b = b[size:]
	}
}
