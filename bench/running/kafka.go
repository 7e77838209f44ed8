package running

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// brokerSettings are the settings of a broker that is alone. Its arguments are
// the folder, the ports, and after how many records it syncs them to the disk.
const brokerSettings = `process.roles=broker,controller
node.id=1
log.dirs=%[1]s/data
controller.quorum.voters=1@%[2]s
listeners=CONTROLLER://%[2]s,PLAINTEXT://%[3]s
advertised.listeners=PLAINTEXT://%[3]s
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
offsets.topic.replication.factor=1
log.flush.interval.messages=%[4]d
`

// StartBroker starts a broker of Kafka, whose jars are in lib, with its data in
// dir. It syncs each record to its disk before it acknowledges it, or leaves
// that to the operating system. Public is its address.
func StartBroker(lib, dir string, sync bool) *Server {
	records := int64(math.MaxInt64)
	if sync {
		records = 1
	}
	settings, public := filepath.Join(dir, "server.properties"), free()
	must(os.MkdirAll(dir, 0o700))
	must(os.WriteFile(settings, fmt.Appendf(nil, brokerSettings, dir, free(), public, records), 0o600))
	java := []string{"-Xmx512m", "-Xms512m", "-XX:+UseSerialGC", "-cp", filepath.Join(lib, "*")}
	out, err := exec.Command("java", append(java, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", settings)...).CombinedOutput()
	if err != nil {
		must(fmt.Errorf("format the broker's disk: %w\n%s", err, out))
	}
	cmd := Command("java", append(java, "kafka.Kafka", settings)...)
	must(cmd.Start())
	for range 1800 {
		if conn, err := net.Dial("tcp", public); err == nil {
			_ = conn.Close()
			return &Server{Public: public, cmds: []*exec.Cmd{cmd}}
		}
		time.Sleep(100 * time.Millisecond)
	}
	must(fmt.Errorf("the broker does not answer"))
	return nil
}

// StartOverKafka starts n servers of one cluster whose log is in a broker, with
// their data in dir. Public is the address of the first one. The processor time
// and the memory are those of all, without the broker. See [Start] for the
// other arguments.
func StartOverKafka(binary, dir string, limit, n int, broker *Server, more string) *Server {
	all := &Server{}
	var ready []chan *Server
	for i := range n {
		home := filepath.Join(dir, fmt.Sprint(i))
		must(os.Mkdir(home, 0o700))
		cluster := fmt.Sprintf("cluster: {name: bench, listen: %q, log: kafka, kafka: {url: \"kafka://%s\"}}\n%s", free(), broker.Public, more)
		s, lines := begin(binary, home, limit, "", cluster)
		all.cmds = append(all.cmds, s.cmds...)
		is, waits := make(chan *Server, 1), make(chan struct{}, 1)
		ready = append(ready, is)
		go func() {
			await(s, lines, waits)
			is <- s
		}()
		<-waits
	}
	home := filepath.Join(dir, "0")
	cmd := Command(binary, "cluster", "init", "--config", filepath.Join(home, "trackway.yaml"), "--data", filepath.Join(home, "data"))
	cmd.Stderr = os.Stderr
	must(cmd.Run())
	for i := range n {
		s := <-ready[i]
		all.OpsOf = append(all.OpsOf, s.Ops)
		if i == 0 {
			all.Public, all.Ops = s.Public, s.Ops
		}
	}
	return all
}
