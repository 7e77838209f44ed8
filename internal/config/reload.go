package config

import (
	"fmt"
	"strings"
)

// CheckReload returns an error that names each setting that the next
// configuration changes and that cannot change while the server runs: where and
// how it listens, and where it keeps its data.
func CheckReload(old, next *Config) error {
	var changed []string
	for _, setting := range []struct {
		name    string
		changed bool
	}{
		{"listen", old.Listen != next.Listen},
		{"ops_listen", old.OpsListen != next.OpsListen},
		{"data_dir", old.DataDir != next.DataDir},
		{"tls", old.TLS != next.TLS},
		{"proxy_protocol", old.ProxyProtocol != next.ProxyProtocol},
		{"memory", old.Memory != next.Memory},
		{"log.format", old.Log.Format != next.Log.Format},
	} {
		if setting.changed {
			changed = append(changed, setting.name)
		}
	}
	if len(changed) > 0 {
		return fmt.Errorf("only a restart can change %s", strings.Join(changed, ", "))
	}
	return nil
}
