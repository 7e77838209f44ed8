// Package helm tests the chart in packaging/helm with Helm's own code: it lints
// the chart, renders it with several values, and reads the result with the
// types of Kubernetes. It also keeps packaging/kubernetes/trackway.yaml, which
// is what the chart makes without values:
//
//	go test . -update
package helm

import (
	"flag"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write packaging/kubernetes/trackway.yaml")

const (
	chartDir  = "../../packaging/helm/trackway"
	manifests = "../../packaging/kubernetes/trackway.yaml"
)

// everything sets each value of the chart.
const everything = `
image: {repository: registry.example.com/trackway, tag: v1, pullPolicy: Always}
imagePullSecrets: [{name: pull}]
config: "projects: []\n"
env: [{name: BACKEND_SECRET, valueFrom: {secretKeyRef: {name: keys, key: backend}}}]
envFrom: [{secretRef: {name: more}}]
extraVolumes: [{name: backup, persistentVolumeClaim: {claimName: backup}}]
extraVolumeMounts: [{name: backup, mountPath: /backup}]
logFormat: text
persistence: {size: 100Gi, storageClass: fast, accessModes: [ReadWriteOncePod]}
resources: {limits: {memory: 4Gi}}
service: {type: LoadBalancer, port: 8080, externalTrafficPolicy: Cluster, annotations: {a: b}}
ingress: {enabled: true, className: nginx, annotations: {c: d}, host: t.example.com, tlsSecret: tls}
networkPolicy: {opsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
serviceMonitor: {enabled: true, interval: 10s, labels: {release: prometheus}}
podAnnotations: {e: f}
nodeSelector: {disk: fast}
tolerations: [{key: k, operator: Exists}]
affinity: {nodeAffinity: {}}
`

// render returns the objects that the chart makes, by the names of templates.
func render(t *testing.T, release, values string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, given, chartutil.ReleaseOptions{Name: release, Namespace: "default", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err // above all, values that the schema does not allow
	}
	return engine.Render(chart, all)
}

// strict reads objects, and refuses fields that Kubernetes does not know.
var strict = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

// objects renders the chart and reads the result.
func objects(t *testing.T, values string) (all []runtime.Object, text string) {
	t.Helper()
	files, err := render(t, "trackway", values)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range files {
		if path.Ext(name) == ".yaml" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		for one := range strings.SplitSeq(files[name], "\n---\n") {
			if strings.TrimSpace(one) == "" {
				continue
			}
			b.WriteString("---\n" + strings.TrimSpace(one) + "\n")
			var kind struct{ APIVersion string }
			if err := yaml.Unmarshal([]byte(one), &kind); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, one)
			}
			if strings.HasPrefix(kind.APIVersion, "monitoring.coreos.com/") {
				continue // Kubernetes itself does not know it
			}
			object, _, err := strict.Decode([]byte(one), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, one)
			}
			all = append(all, object)
		}
	}
	return all, b.String()
}

func find[T runtime.Object](all []runtime.Object) (found []T) {
	for _, o := range all {
		if one, ok := o.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

func TestLint(t *testing.T) {
	for _, values := range []string{"", everything} {
		given, err := chartutil.ReadValues([]byte(values))
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range lint.All(chartDir, given, "default", true).Messages {
			if message.Severity > 1 { // an information, such as that the chart has no icon
				t.Error(message)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	all, text := objects(t, "")
	head := "# The Helm chart makes this without values: for those without Helm. Put the name\n# of your image into it. `make test-chart UPDATE=1` writes it.\n"
	if *update {
		if err := os.WriteFile(manifests, []byte(head+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(manifests)
	if err != nil || string(written) != head+text {
		t.Errorf("%s is not what the chart makes (%v): run go test . -update in tools/helm", manifests, err)
	}
	set := find[*appsv1.StatefulSet](all)[0]
	pod := set.Spec.Template.Spec
	server := pod.Containers[0]
	if *set.Spec.Replicas != 1 || !*pod.SecurityContext.RunAsNonRoot || !*server.SecurityContext.ReadOnlyRootFilesystem || len(pod.Volumes) > 0 {
		t.Errorf("got %+v", pod)
	}
	if *pod.EnableServiceLinks || set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Error("variables of services look like the server's, or a pod that never becomes ready blocks its repair")
	}
	const day = 24 * 60 * 60
	if startup := server.StartupProbe; startup.PeriodSeconds*startup.FailureThreshold < day {
		t.Errorf("a start that takes a day is killed: %+v", startup)
	}
	for _, service := range find[*corev1.Service](all) {
		for _, port := range service.Spec.Ports {
			if public := service.Spec.ClusterIP != corev1.ClusterIPNone; public && port.TargetPort.StrVal != "http" {
				t.Errorf("the service %s exposes %s", service.Name, port.Name)
			}
		}
	}
	for _, rule := range find[*networkingv1.NetworkPolicy](all)[0].Spec.Ingress {
		if rule.Ports[0].Port.StrVal == "ops" && len(rule.From) == 0 {
			t.Error("everybody may reach the operator's port")
		}
	}
}

func TestEverything(t *testing.T) {
	all, text := objects(t, everything)
	pod := find[*appsv1.StatefulSet](all)[0].Spec.Template.Spec
	server := pod.Containers[0]
	if server.Image != "registry.example.com/trackway:v1" || len(server.VolumeMounts) != 3 || len(pod.Volumes) != 2 || len(server.EnvFrom) != 1 {
		t.Errorf("got %+v", server)
	}
	secret := find[*corev1.Secret](all)[0]
	if got := secret.StringData["trackway.yaml"]; got != "projects: []\n" {
		t.Errorf("got the configuration %q", got)
	}
	for _, want := range []string{"kind: Ingress", "kind: ServiceMonitor", "externalTrafficPolicy: Cluster", "storageClassName: fast", "name: monitoring", "value: /etc/trackway/trackway.yaml"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
}

// A load balancer keeps the callers' addresses, by which limits count. A
// service inside the cluster must not set the policy: Kubernetes refuses it.
func TestTrafficPolicy(t *testing.T) {
	for values, want := range map[string]corev1.ServiceExternalTrafficPolicy{
		"service: {type: LoadBalancer}": corev1.ServiceExternalTrafficPolicyLocal,
		"service: {type: ClusterIP}":    "",
	} {
		all, _ := objects(t, values)
		if got := find[*corev1.Service](all)[0].Spec.ExternalTrafficPolicy; got != want {
			t.Errorf("%s: got the policy %q, want %q", values, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for values, want := range map[string]string{
		"replicas: 2":                            "replicas",
		"{config: a, existingSecret: b}":         "not both",
		"service: {type: Nonsense}":              "service.type",
		"networkPolicy: {enabled: yes, from: 1}": "from",
	} {
		if _, err := render(t, "trackway", values); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "/", "."), want) {
			t.Errorf("%s: got %v, want an error about %s", values, err, want)
		}
	}
	if files, err := render(t, "prod", "existingSecret: mine"); err != nil || !strings.Contains(files["trackway/templates/statefulset.yaml"], "secretName: mine") {
		t.Errorf("got %v, %v", files, err)
	}
}
