package tracking

import (
	"trackway"
	"trackway/internal/format"
)

// item holds everything about one command of a batch.
type item struct {
	Name      string
	Command   trackway.Command
	CommandID []byte
	Time      bool
	Err       *trackway.Error
}

func itemsOf(b *format.Batch) []item {
	if b == nil {
		return nil
	}
	items := make([]item, len(b.Commands))
	for i := range items {
		items[i] = item{Name: b.Labels[i].Name, Command: b.Commands[i], CommandID: b.Labels[i].ID, Err: b.Results[i].Err}
		items[i].Time = items[i].Err == nil && b.Commands[i].Kind == trackway.Nothing
	}
	return items
}

func decodeItems(body []byte) ([]item, *trackway.Error) {
	b, err := DecodeBatch(body, received)
	return itemsOf(b), err
}

// batchOf is the inverse of itemsOf.
func batchOf(items ...item) *format.Batch {
	b := &format.Batch{Received: received}
	for _, it := range items {
		if it.Err == nil && !it.Time {
			it.Command.Kind = trackway.AddEvent
		}
		b.Add(it.Command, it.Err, format.Label{Name: it.Name, ID: it.CommandID})
	}
	return b
}
