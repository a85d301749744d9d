//! `up`: a cluster that runs, from whatever is there.

use super::layout::Member;
use super::programs::{self, ENVOY_CONFIG, Paths, Program, XDS};
use super::record::{Cluster, FORWARDER};
use super::{claim, down, folder_of, groups, host, kubectl, load, ready, require_root, settings};
use crate::network::lock::FolderLock;
use crate::network::process::Start;
use crate::network::{Place, binary, say, sources};
use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use structopt::StructOpt;

/// Builds a cluster if there is none, starts what does not run, and waits until its nodes are ready
#[derive(Debug, StructOpt)]
pub struct Up {
    #[structopt(flatten)]
    place: Place,
    /// Nodes, 1 or 2 [default: 1]
    #[structopt(long, parse(try_from_str = nodes))]
    nodes: Option<u8>,
    /// What to run, as testnet/kubernetes/build.sh made it [default: it is built]
    #[structopt(long, parse(from_os_str), value_name = "DIR")]
    programs: Option<PathBuf>,
}

fn nodes(text: &str) -> Result<u8, &'static str> {
    let number = text.parse().ok().filter(|number| (1..=2).contains(number));
    number.ok_or("1 or 2")
}

impl Up {
    /// Brings the cluster up.
    ///
    /// # Errors
    /// What could not be built, started or reached, and what to do.
    pub fn run(&self) -> anyhow::Result<()> {
        require_root()?;
        let folder = folder_of(&self.place)?;
        let programs = match &self.programs {
            Some(programs) => programs.clone(),
            None => build()?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let began = Instant::now();
        let wanted = Wanted {
            name: self.place.name(),
            nodes: self.nodes,
            programs,
        };
        let (cluster, outcome) = runtime.block_on(bring_up(&folder, &wanted))?;
        match outcome {
            Outcome::RanAlready => say(format!("the cluster {} runs already", cluster.name)),
            Outcome::Started => say(format!(
                "the cluster {} is ready after {:.1} s",
                cluster.name,
                began.elapsed().as_secs_f64()
            )),
        }
        print!("{}", summary(&cluster));
        say(next_commands(&cluster));
        Ok(())
    }
}

/// What a cluster is to be.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The name of the network that it is of.
    pub name: &'a str,
    /// How many nodes, if it matters.
    pub nodes: Option<u8>,
    /// What `build.sh` made.
    pub programs: PathBuf,
}

/// What there was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    RanAlready,
    /// Something did not run.
    Started,
}

/// Builds what a cluster consists of, if it was not built yet; the folder with all of it.
///
/// # Errors
/// Something is missing, or does not compile; the text above it says what.
pub fn build() -> anyhow::Result<PathBuf> {
    let script = sources().join("kubernetes/build.sh");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be run", script.display()))?;
    ensure!(
        output.status.success(),
        "the programs of the cluster could not be built; what is wrong stands above"
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// Brings a cluster up in a folder.
///
/// # Errors
/// What could not be built, started or reached, and what to do.
pub async fn bring_up(folder: &Path, wanted: &Wanted<'_>) -> anyhow::Result<(Cluster, Outcome)> {
    let _lock = FolderLock::acquire(folder)?;
    let mut cluster = cluster(folder, wanted)?;
    let all = programs::all(&cluster);
    let is_complete =
        cluster.is_alive(FORWARDER) && all.iter().all(|program| cluster.is_alive(&program.name));
    if is_complete && ready::nodes_are_ready(&cluster).await {
        return Ok((cluster, Outcome::RanAlready));
    }
    start(&mut cluster).await?;
    Ok((cluster, Outcome::Started))
}

/// The cluster that is there, or a new one.
fn cluster(folder: &Path, wanted: &Wanted<'_>) -> anyhow::Result<Cluster> {
    if let Some(cluster) = Cluster::read(folder)? {
        if cluster.folder != folder {
            bail!(
                "{} is of the cluster in {}, of which this folder is a copy; remove the copy by hand",
                Cluster::file(folder).display(),
                cluster.folder.display()
            );
        }
        ensure!(
            wanted.nodes.is_none_or(|nodes| nodes == cluster.nodes),
            "the cluster {} has {} node(s); `cluster.sh down --purge` removes it, another --name builds one beside it",
            cluster.name,
            cluster.nodes
        );
        return Ok(cluster);
    }
    // What there is, is of a build that was cut off; nothing of it was ever started.
    let cluster = Cluster {
        name: wanted.name.to_owned(),
        folder: folder.to_owned(),
        number: claim::claim(&claim::folder(), folder)?,
        nodes: wanted.nodes.unwrap_or(1),
        programs: wanted.programs.clone(),
        processes: Default::default(),
    };
    settings::write(&cluster)?;
    cluster.write()?;
    Ok(cluster)
}

/// Starts what does not run, and waits until all of it is ready.
async fn start(cluster: &mut Cluster) -> anyhow::Result<()> {
    // What ended is started again, and no reason to end the rest.
    cluster.processes.retain(|_, process| process.is_alive());
    let runs = |name: &String| name != FORWARDER;
    if !cluster.processes.keys().any(runs) {
        host::create(cluster)?;
    }
    // Processes of a run that ended between starting them and writing them down.
    down::end_strays(cluster)?;
    let groups = groups::folders(&host::group_of_programs(cluster.layout()));
    let mut rest = programs::all(cluster);
    let mut start_those = |cluster: &mut Cluster, names: &[&str]| -> anyhow::Result<()> {
        let is_one = |program: &Program| names.iter().any(|name| program.name.ends_with(name));
        let (now, later) = std::mem::take(&mut rest).into_iter().partition(is_one);
        rest = later;
        let now: Vec<Program> = now;
        now.iter()
            .try_for_each(|program| start_one(cluster, program, &groups))
    };
    start_those(cluster, &["-etcd", "-containerd"])?;
    ready::until_etcd_answers(cluster).await?;
    start_those(cluster, &["-kube-apiserver"])?;
    let images = async {
        ready::until_containers_can_be_made(cluster).await?;
        for image in ["pause.tar", "coredns.tar", "volume.tar"] {
            load::load(cluster, &cluster.programs.join("share").join(image)).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(images, ready::until_api_answers(cluster))?;
    start_those(
        cluster,
        &[
            "-kubelet",
            "-kube-controller-manager",
            "-kube-scheduler",
            "-kube-proxy",
        ],
    )?;
    apply_objects(cluster).await?;
    // Everything else needs its resources and its rights.
    write_envoy_config(cluster)?;
    start_those(cluster, &[""])?;
    start_forwarder(cluster)?;
    ready::until_nodes_are_ready(cluster).await?;
    ready::until_names_resolve(cluster).await?;
    ready::until_ingress_answers(cluster).await
}

/// Makes the objects that every cluster of ours has. The API server is busy with kinds of objects for seconds, and most
/// does not wait for them. Pods do: one that the network plugin cannot serve yet is tried again after ten seconds.
async fn apply_objects(cluster: &Cluster) -> anyhow::Result<()> {
    let share = cluster.programs.join("share");
    let (calico, contour) = (
        share.join("calico-crds.yaml"),
        share.join("contour-crds.yaml"),
    );
    let objects = sources().join("kubernetes/objects");
    let kinds = async {
        tokio::try_join!(
            kubectl::apply(cluster, &calico),
            kubectl::apply(cluster, &contour)
        )?;
        ready::until_kinds_are_known(cluster).await?;
        kubectl::apply(cluster, &objects.join("last")).await
    };
    tokio::try_join!(kinds, kubectl::apply(cluster, &objects)).map(|_| ())
}

/// Contour knows what Envoy has to begin with.
fn write_envoy_config(cluster: &Cluster) -> anyhow::Result<()> {
    let paths = Paths::new(cluster.layout(), Member::Control);
    let contour = cluster.program("contour").display().to_string();
    let arguments = [
        "bootstrap",
        &paths.own(ENVOY_CONFIG),
        "--xds-address=127.0.0.1",
        &format!("--xds-port={XDS}"),
        &format!("--admin-address={}", paths.own("envoy.sock")),
    ];
    host::run(&contour, &arguments, "")
}

/// Leads ports of this machine to the cluster.
fn start_forwarder(cluster: &mut Cluster) -> anyhow::Result<()> {
    if cluster.is_alive(FORWARDER) {
        return Ok(());
    }
    let start = Start {
        program: binary("welkin-testnet")?,
        arguments: vec!["forward".to_owned(), cluster.folder.display().to_string()],
        variables: Vec::new(),
        log: cluster.log(FORWARDER),
    };
    let process = start.start()?;
    cluster.processes.insert(FORWARDER.to_owned(), process);
    cluster.write()
}

/// Starts a program unless it runs, and writes it down.
fn start_one(cluster: &mut Cluster, program: &Program, groups: &[PathBuf]) -> anyhow::Result<()> {
    if cluster.is_alive(&program.name) {
        return Ok(());
    }
    let process = program.start(cluster, groups).start()?;
    cluster.processes.insert(program.name.clone(), process);
    cluster.write()
}

/// Where it is reached.
fn summary(cluster: &Cluster) -> String {
    let layout = cluster.layout();
    let (first, last) = layout.node_ports();
    let mut text = format!(
        "cluster    {}\nfolder     {}\nkubeconfig {}\napi        {}\n",
        cluster.name,
        cluster.folder.display(),
        cluster.kubeconfig().display(),
        layout.api()
    );
    for member in cluster.members() {
        if member != Member::Control {
            let (own4, own6) = layout.addresses(member);
            text.push_str(&format!("node       {}  {own4}  {own6}\n", member.name()));
        }
    }
    text.push_str(&format!(
        "ingress    http://*.localhost:{}\nnode ports {first} to {last}, also on 127.0.0.1\n",
        layout.http_port()
    ));
    text
}

/// What to type next.
fn next_commands(cluster: &Cluster) -> String {
    format!(
        "\nnext:\n  {0}/kubectl get pods --all-namespaces\n  export KUBECONFIG={0}/kubeconfig\n",
        cluster.folder.display()
    )
}
