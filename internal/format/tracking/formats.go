package tracking

import (
	"net/http"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

// The formats of routes.
var (
	// Batch is the format of up to 50 commands, which are answered one by one.
	Batch = &format.Format{Name: "batch", Decode: decodeBatch, Results: batchResults, Refusal: refusal(appendRefusal), Text: Text, AnySite: true}

	// Open is the format of other routes that pages of any site may call. Own
	// is the format of the remaining routes: this server's own API.
	Open = &format.Format{Refusal: refusal(appendRefusal), Text: Text, AnySite: true}
	Own  = &format.Format{Refusal: refusal(appendRefusal), Text: Text}

	// Data is the format of the data API, whose errors are an object of arrays.
	// Pages of any site may call the routes of OpenData.
	Data     = &format.Format{Refusal: refusal(AppendFieldError), Text: Text}
	OpenData = &format.Format{Refusal: refusal(AppendFieldError), Text: Text, AnySite: true}
)

// Single returns the format of a command that is sent alone: [Customers],
// [Events] or [Clicks].
func Single(name string) *format.Format {
	return &format.Format{
		Name: name,
		Decode: func(_ *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
			c, err := DecodeCommand(name, body, received)
			return format.One(c, err, name, received), nil
		},
		Results: singleResult, Refusal: refusal(appendRefusal), Text: Text, AnySite: true,
	}
}

func decodeBatch(_ *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	return DecodeBatch(body, received)
}

var success = []byte(`{"errors":[],"success":true}`)

func singleResult(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
	return http.StatusOK, success, b.Results[0].Err
}

func batchResults(b *format.Batch, now trackway.Micros) (int, []byte, *trackway.Error) {
	const perResult = 24
	return http.StatusOK, appendBatch(make([]byte, 0, 128+perResult*len(b.Results)), b, now), nil
}

// refusal returns a function that writes refusals, including the kinds with
// their own shape. If access was denied:
//
//	{"success":false,"error":"Access key not found"}
//
// If the body was not accepted, or the server failed:
//
//	{"errors":{"code":413,"description":"…"}}
func refusal(of func(dst []byte, err *trackway.Error) []byte) func(int, *trackway.Error) (int, []byte) {
	return func(status int, err *trackway.Error) (int, []byte) {
		switch err.Code {
		case trackway.TooLarge, trackway.Unsupported, trackway.Overloaded, trackway.Internal:
			return status, AppendStatus(nil, status, Text(err))
		}
		if err.Code == trackway.Unidentified || err.Field == "Authorization" || err.Field == "projectToken" {
			return status, append(canonjson.AppendString([]byte(`{"success":false,"error":`), Text(err)), '}')
		}
		return status, of(nil, err)
	}
}
