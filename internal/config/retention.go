package config

import (
	"time"

	"trackway"
)

// retention translates the section. Mistakes were found when it was read.
func (keyring) retention(written *retention) trackway.Retention {
	domain := trackway.Retention{Default: time.Duration(written.Default)}
	for _, t := range written.Events {
		if domain.Events == nil {
			domain.Events = make(map[string]time.Duration)
		}
		domain.Events[t.Type] = time.Duration(t.Age)
	}
	return domain
}
