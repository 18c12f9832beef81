//go:build !race

// Excluded under the race detector: the handovers are tested with it elsewhere.

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const manifests = "../../deploy/kubernetes"

// manifest has the parts of deployment.yaml that the tests look at.
type manifest struct {
	Spec struct {
		Replicas int
		Strategy struct {
			RollingUpdate struct {
				MaxSurge       int `yaml:"maxSurge"`
				MaxUnavailable int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		}
		Template struct {
			Spec struct {
				EnableServiceLinks            bool `yaml:"enableServiceLinks"`
				TerminationGracePeriodSeconds int  `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct {
					Args  []string
					Env   []struct{ Name string }
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
					ReadinessProbe  probe         `yaml:"readinessProbe"`
					LivenessProbe   probe         `yaml:"livenessProbe"`
					VolumeMounts    []volumeMount `yaml:"volumeMounts"`
					SecurityContext struct {
						ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
					} `yaml:"securityContext"`
				}
				Volumes []struct {
					Name   string
					Secret struct {
						DefaultMode os.FileMode `yaml:"defaultMode"`
					}
				}
			}
		}
	}
}

type probe struct {
	HTTPGet       struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds int                         `yaml:"periodSeconds"`
}

type volumeMount struct {
	Name      string
	MountPath string `yaml:"mountPath"`
	ReadOnly  bool   `yaml:"readOnly"`
}

func readManifest(t *testing.T) *manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, "base/deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := new(manifest)
	if err := yaml.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestManifests: the manifests fit the program and one another.
func TestManifests(t *testing.T) {
	t.Parallel()
	settings := string(readDeploy(t, "kubernetes/base/zoomstream.yaml"))
	spec := readManifest(t).Spec.Template.Spec
	c := spec.Containers[0]
	if spec.EnableServiceLinks {
		t.Error("variables of services would look like settings")
	}
	for _, port := range c.Ports {
		if !strings.Contains(settings, fmt.Sprintf("http_addr: 0.0.0.0:%d ", port.ContainerPort)) || !strings.Contains(string(readDeploy(t, "kubernetes/base/service.yaml")), fmt.Sprintf("port: %d, targetPort: %s", port.ContainerPort, port.Name)) {
			t.Errorf("port %d is not that of http_addr or of the service", port.ContainerPort)
		}
	}
	if c.ReadinessProbe.HTTPGet.Port != c.Ports[0].Name || c.LivenessProbe.HTTPGet.Port != c.Ports[0].Name {
		t.Error("the probes ask another port")
	}
	mounted := func(file string) (found volumeMount) {
		for _, m := range c.VolumeMounts {
			if strings.HasPrefix(file, m.MountPath) {
				found = m
			}
		}
		return found
	}
	for line := range strings.Lines(settings) {
		_, value, _ := strings.Cut(line, ": ")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " #")
		if !strings.HasPrefix(value, "/") {
			continue
		}
		if m := mounted(value); m.Name == "" || m.ReadOnly == strings.HasPrefix(line, "data_dir") {
			t.Errorf("%s is not mounted as it should be: %+v", value, m)
		}
	}
	if !c.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the root file system can be written to")
	}
	if selects := "selector: { matchLabels: { app.kubernetes.io/name: zoomstream } }"; !strings.Contains(string(readDeploy(t, "kubernetes/base/disruptionbudget.yaml")), selects) {
		t.Error("the disruption budget selects no pod") // kustomize adds no selector to it
	}
	if kubectl, err := exec.LookPath("kubectl"); err == nil {
		for _, folder := range []string{"base", "volume"} {
			out, err := exec.Command(kubectl, "kustomize", filepath.Join(manifests, folder)).CombinedOutput()
			if want := map[string]string{"base": "kind: Deployment", "volume": "volumeClaimTemplates:"}[folder]; err != nil || !bytes.Contains(out, []byte(want)) {
				t.Errorf("%s: %v: %s", folder, err, out)
			}
		}
	} else {
		t.Log("there is no kubectl: the manifests are not put together")
	}
}

// kubernetes runs processes the way Kubernetes runs the pods of the manifests.
type kubernetes struct {
	*fleet
	*manifest
	volumes string       // folder of the mounted volumes
	secret  atomic.Value // the app's client secret, as Zoom knows it
}

func newKubernetes(t *testing.T) *kubernetes {
	t.Helper()
	nats := fleetNATS(t)
	k := &kubernetes{fleet: newFleet(t, nats, testSubscription), manifest: readManifest(t), volumes: t.TempDir()}
	k.mountSecret("1", testSecret)
	k.secret.Store(testSecret)
	values := make(map[string]string)
	for _, s := range k.settings {
		name, value, _ := strings.Cut(s, "=")
		values[name] = value
	}
	text := string(readDeploy(t, "kubernetes/base/zoomstream.yaml"))
	for old, now := range map[string]string{
		"wss://ws.zoom.us/ws?subscriptionId=your-subscription-id": values["ZOOM_WEBSOCKET_URL"],
		"nats://nats.nats.svc:4222":                               nats,
		"stream_replicas: 3":                                      "stream_replicas: 1",
		"nats_creds: ":                                            "# ", // this NATS needs no credentials
		"/run/secrets/zoomstream/":                                k.volumes + "/secrets/",
		"data_dir: /var/lib/zoomstream/":                          "data_dir: volume/", // see create
		"0.0.0.0:8480":                                            "127.0.0.1:0",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("zoomstream.yaml has no %q", old)
		}
		text = strings.ReplaceAll(text, old, now)
	}
	if err := os.WriteFile(k.volumes+"/zoomstream.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	k.settings = []string{"ZOOM_OAUTH_URL=" + k.tokenEndpoint(values["ZOOM_OAUTH_URL"])}
	return k
}

// tokenEndpoint returns the URL of a token endpoint whose client secret can be changed.
func (k *kubernetes) tokenEndpoint(simulated string) string {
	to, err := url.Parse(simulated)
	if err != nil {
		k.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); secret == k.secret.Load() {
			r.SetBasicAuth(id, testSecret)
			proxy.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"reason":"Invalid client_id or client_secret","error":"invalid_client"}`) //nolint:errcheck // its client is gone
	}))
	k.t.Cleanup(server.Close)
	return server.URL + to.Path
}

// mountSecret mounts a version of the secret as the kubelet does: in a new folder, by swapping one
// link.
func (k *kubernetes) mountSecret(version, secret string) {
	k.t.Helper()
	mode := os.FileMode(0)
	for _, v := range k.Spec.Template.Spec.Volumes {
		mode |= v.Secret.DefaultMode
	}
	folder := filepath.Join(k.volumes, "secrets", "..v"+version)
	must := func(err error) {
		if err != nil {
			k.t.Fatal(err)
		}
	}
	must(os.MkdirAll(folder, 0o755))
	for name, value := range map[string]string{"zoom-client-id": "client-must-not-leak", "zoom-client-secret": secret, "zoom-account-id": "account"} {
		must(os.WriteFile(filepath.Join(folder, name), []byte(value), mode))
		if version == "1" {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(k.volumes, "secrets", name)))
		}
	}
	must(os.Symlink("..v"+version, filepath.Join(k.volumes, "secrets", "..data_tmp")))
	must(os.Rename(filepath.Join(k.volumes, "secrets", "..data_tmp"), filepath.Join(k.volumes, "secrets", "..data")))
}

// create starts a pod and waits until it is ready.
func (k *kubernetes) create() *member {
	k.t.Helper()
	k.started++
	name := fmt.Sprintf("zoomstream-%d", k.started)
	var args []string
	for _, arg := range k.Spec.Template.Spec.Containers[0].Args {
		args = append(args, strings.Replace(arg, "/etc/zoomstream/zoomstream.yaml", k.volumes+"/zoomstream.yaml", 1))
	}
	volume := filepath.Join(k.t.TempDir(), "volume")
	if err := os.Mkdir(volume, 0o700); err != nil {
		k.t.Fatal(err)
	}
	if err := os.Chmod(volume, 0o777); err != nil { // like an emptyDir
		k.t.Fatal(err)
	}
	pod := &member{start(k.t, append(k.settings, "ZOOMSTREAM_REPLICA="+name, "ZOOMSTREAM_DATA_DIR="+filepath.Join(volume, "data")), args...), name}
	k.alive, k.all = append(k.alive, pod), append(k.all, pod)
	for deadline := time.Now().Add(30 * time.Second); !k.ready(pod); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("%s is not ready:\n%s", name, &pod.stderr)
		}
	}
	return pod
}

func (k *kubernetes) ready(pod *member) bool {
	k.t.Helper()
	c := k.Spec.Template.Spec.Containers[0]
	address := strings.TrimSuffix(pod.url(), "/")
	code, _ := getPage(k.t, address+c.ReadinessProbe.HTTPGet.Path)
	if alive, text := getPage(k.t, address+c.LivenessProbe.HTTPGet.Path); alive != http.StatusOK {
		k.t.Errorf("%s is not alive: %s", pod.name, text)
	}
	return code == http.StatusOK
}

// remove ends a pod as its deletion, its eviction or its replacement does.
func (k *kubernetes) remove(pod *member) {
	k.t.Helper()
	pod.signal(syscall.SIGTERM)
	select {
	case <-pod.exited:
	case <-time.After(time.Duration(k.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second):
		k.t.Fatalf("%s is killed at the end of its grace period", pod.name)
	}
	pod.exit(exitOK)
	k.gone(pod)
}

// update replaces all pods. Each new pod is ready before it replaces an old one.
func (k *kubernetes) update() {
	k.t.Helper()
	if u := k.Spec.Strategy.RollingUpdate; u.MaxSurge != 1 || u.MaxUnavailable != 0 {
		k.t.Fatalf("the update is another one: %+v", u)
	}
	for _, old := range append([]*member(nil), k.alive...) {
		k.create()
		k.remove(old)
		k.flows(100)
	}
}

// TestKubernetes: under load, a rolling update, a drain of each node and a rotation of the client
// secret lose nothing.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	k := newKubernetes(t)
	for range k.Spec.Replicas {
		k.create()
	}
	k.live()
	k.flow(400)
	k.flows(100)
	k.update()
	for _, drained := range append([]*member(nil), k.alive...) { // one at a time, because of the disruption budget
		k.remove(drained)
		k.create()
		k.flows(100)
	}

	const rotated = "another-must-not-leak"
	k.secret.Store(rotated)
	k.mountSecret("2", rotated)
	if _, err := k.sim.Do("rotate?for=1m"); err != nil { // older tokens are worthless after the next one is issued
		t.Fatal(err)
	}
	k.flows(100)
	k.update()
	k.finish()
	e := k.evidence()
	e.whole()
	if n := len(e.sockets[testSubscription]); n < 5 {
		t.Errorf("%d sockets: there were not so many handovers", n)
	}
	for _, pod := range k.all {
		if strings.Contains(pod.stderr.String(), "config.exposed") {
			t.Errorf("%s warns of the files of the manifest", pod.name)
		}
	}
}
