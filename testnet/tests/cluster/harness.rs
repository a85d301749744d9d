//! Clusters for tests: each in a folder of its own, removed with everything that it had, also when the test fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use welkin_testnet::cluster::layout::Member;
use welkin_testnet::cluster::{Cluster, folder, groups, host};
use welkin_testnet::network::process::pids;
use welkin_testnet::network::{binary, sources};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The sample application twice in a namespace that takes only harmless pods, a node port, a URL and a volume.
pub const SAMPLE: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: tenant
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello, namespace: tenant}
spec:
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: hello
        image: welkin.local/hello:1
        imagePullPolicy: Never
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: tenant}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: hello
        image: welkin.local/hello:1
        imagePullPolicy: Never
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: tenant}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: tenant}
spec:
  type: NodePort
  selector: {app: hello}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hello, namespace: tenant}
spec:
  ingressClassName: contour
  rules:
  - host: hello.localhost
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: hello, port: {number: 80}}}}]}
"#;

/// A cluster of a test.
pub struct Own {
    dir: TempDir,
    name: String,
}

/// Whether tests with clusters are left out; says so, and what is missing.
pub fn left_out(test: &str) -> bool {
    if std::env::var("WELKIN_TEST_NO_KUBERNETES").as_deref() == Ok("1") {
        eprintln!("{test}: left out, because WELKIN_TEST_NO_KUBERNETES=1");
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("{test}: left out, since it needs root's rights");
        return true;
    }
    let built = output(Command::new(sources().join("kubernetes/build.sh")).arg("--check"));
    let said = String::from_utf8_lossy(&built.stderr);
    if !built.status.success() {
        eprintln!(
            "{test}: left out ({}); testnet/kubernetes/build.sh builds it",
            said.trim()
        );
    }
    !built.status.success()
}

/// Runs a program; its output, whatever its exit code.
fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Runs a program that must succeed; its stdout.
fn run(command: &mut Command) -> String {
    let output = output(command);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out.into_owned()
}

/// Looks until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

impl Own {
    /// A cluster, brought up with these arguments.
    pub fn up(arguments: &[&str]) -> Own {
        let own = Own {
            dir: tempfile::tempdir().unwrap(),
            name: format!("test-{}", hex::encode(rand::random::<[u8; 4]>())),
        };
        own.cluster_command("up", arguments);
        own
    }

    /// `up` again.
    pub fn again(&self) {
        self.cluster_command("up", &[]);
    }

    /// `down`.
    pub fn down(&self, arguments: &[&str]) {
        self.cluster_command("down", arguments);
    }

    /// Its record.
    pub fn cluster(&self) -> Cluster {
        Cluster::read(&self.folder()).unwrap().unwrap()
    }

    /// Loads the sample application's image.
    pub fn load_sample(&self) {
        let archive = self.dir.path().join("hello.tar");
        run(Command::new(sources().join("apps/build-image.sh")).arg(&archive));
        self.cluster_command("load", &[archive.to_str().unwrap()]);
    }

    fn folder(&self) -> PathBuf {
        folder(&self.dir.path().join(&self.name), 0)
    }

    fn cluster_command(&self, action: &str, arguments: &[&str]) -> String {
        run(Command::new(binary("welkin-testnet").unwrap())
            .args(["cluster", action, "--name", &self.name, "--dir"])
            .arg(self.dir.path())
            .args(arguments))
    }

    /// Runs `kubectl`; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run(Command::new(self.folder().join("kubectl")).args(arguments))
    }

    /// Runs `kubectl` with these words in the sample's namespace; what it printed.
    pub fn in_tenant(&self, words: &str) -> String {
        run(&mut self.tenant_command(words))
    }

    /// The same, and it must fail.
    pub fn fails_in_tenant(&self, words: &str) {
        let output = output(&mut self.tenant_command(words));
        assert!(!output.status.success(), "{output:?}");
    }

    fn tenant_command(&self, words: &str) -> Command {
        let mut kubectl = Command::new(self.folder().join("kubectl"));
        kubectl.args(["-n", "tenant"]).args(words.split(' '));
        kubectl
    }

    /// Waits until a deployment of the sample runs.
    pub fn roll_out(&self, deployment: &str) {
        self.in_tenant(&format!(
            "rollout status deployment/{deployment} --timeout=60s"
        ));
    }

    /// Makes these objects.
    pub fn apply(&self, objects: &str) {
        let mut kubectl = Command::new(self.folder().join("kubectl"))
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = kubectl.stdin.take().unwrap();
        input.write_all(objects.as_bytes()).unwrap();
        drop(input);
        assert!(kubectl.wait().unwrap().success());
    }

    /// What `curl` gets from a URL, if it gets a page.
    pub fn answer(&self, url: &str) -> Option<String> {
        let output = output(Command::new("curl").args(["-sf", "--max-time", "3", url]));
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(page)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let folder = self.folder();
        if !folder.exists() {
            return;
        }
        if std::thread::panicking() {
            for entry in std::fs::read_dir(folder.join("logs")).into_iter().flatten() {
                let log = entry.unwrap().path();
                let end = welkin_testnet::network::process::tail(&log, 5);
                eprintln!("== {}\n{end}", log.display());
            }
        }
        self.down(&["--purge"]);
    }
}

/// Everything that a cluster has outside its folder, of which nothing may stay.
pub fn traces(cluster: &Cluster) -> Vec<String> {
    let layout = cluster.layout();
    let mut found = Vec::new();
    let mut look = |path: &Path| {
        if path.exists() {
            found.push(path.display().to_string());
        }
    };
    for member in Member::all(2) {
        look(&layout.namespace_file(member));
        look(&Path::new("/sys/class/net").join(layout.link(member)));
    }
    look(&Path::new("/sys/class/net").join(layout.bridge()));
    look(&layout.mounted());
    for group in groups::folders(Path::new(&layout.name())) {
        look(&group);
    }
    assert_eq!(groups::processes(&host::group_of_programs(layout)), []);
    let tables = run(Command::new("nft").args(["list", "tables"]));
    found.extend(
        tables
            .lines()
            .filter(|line| line.contains(&layout.table()))
            .map(str::to_owned),
    );
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let names = [layout.mounted(), cluster.folder.clone()].map(|path| path.display().to_string());
    let is_of_it = |line: &&str| names.iter().any(|name| line.contains(name));
    found.extend(mounts.lines().filter(is_of_it).map(str::to_owned));
    for pid in pids() {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if is_of_it(&line.as_str()) {
            found.push(line);
        }
    }
    found
}
