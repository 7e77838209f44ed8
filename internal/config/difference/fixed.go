package difference

import (
	"fmt"
	"reflect"
	"strings"

	"trackway/internal/config"
)

// CheckFixed returns an error if the next configuration changes settings that
// cannot change while the server runs, such as where it listens and where it
// stores its data. The error names each of them.
func CheckFixed(old, next *config.Config) error {
	var changed []string
	for _, setting := range []struct {
		name    string
		changed bool
	}{
		{"listen", old.Listen != next.Listen},
		{"ops_listen", old.OpsListen != next.OpsListen},
		{"data_dir", old.DataDir != next.DataDir},
		{"partitions", old.Partitions != next.Partitions},
		{"tls", !reflect.DeepEqual(old.TLS, next.TLS)},
		{"proxy_protocol", old.ProxyProtocol != next.ProxyProtocol},
		{"cluster", !old.Cluster.Equal(&next.Cluster)},
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
