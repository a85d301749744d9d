//! `status`: what runs and what it needs.

use super::programs;
use super::record::Cluster;
use super::{groups, known, ready};
use crate::network::Place;
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;
use structopt::StructOpt;

/// Says what runs and what it needs
#[derive(Debug, StructOpt)]
pub struct Show {
    #[structopt(flatten)]
    place: Place,
    /// table or json
    #[structopt(short, long, default_value = "table", possible_values = &["table", "json"])]
    output: String,
}

/// A cluster as it is. The keys of its JSON are stable.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// Where its API server answers.
    pub api: String,
    /// Whether all nodes are ready.
    pub is_ready: bool,
    /// Its programs.
    pub programs: Vec<Running>,
    /// Memory of all its processes, those of pods included, in bytes; what several share is counted once.
    pub memory_bytes: u64,
}

/// One of its programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Its number, if it runs.
    pub pid: Option<i32>,
    /// Its part of the memory, in bytes.
    pub memory_bytes: u64,
}

impl Show {
    /// Prints it.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn run(&self) -> anyhow::Result<()> {
        let cluster = known(&self.place)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let status = runtime.block_on(of(&cluster));
        let text = match self.output.as_str() {
            "json" => serde_json::to_string_pretty(&status)? + "\n",
            _ => table(&status),
        };
        // Whoever closed the pipe has enough of it.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(())
    }
}

/// How a cluster is.
pub async fn of(cluster: &Cluster) -> Status {
    let layout = cluster.layout();
    let running = |program: programs::Program| {
        let process = cluster.processes.get(&program.name);
        let pid = process
            .filter(|known| known.is_alive())
            .map(|known| known.pid);
        Running {
            memory_bytes: pid.map_or(0, memory),
            name: program.name,
            pid,
        }
    };
    let all = groups::processes(&PathBuf::from(layout.name()));
    Status {
        name: cluster.name.clone(),
        kubeconfig: cluster.kubeconfig(),
        api: layout.api(),
        is_ready: ready::nodes_are_ready(cluster).await,
        programs: programs::all(cluster).into_iter().map(running).collect(),
        memory_bytes: all.iter().map(|process| memory(process.pid)).sum(),
    }
}

/// A process's part of the memory: its own, and its share of what others use too.
fn memory(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kibibytes = text.lines().find_map(|line| {
        let rest = line.strip_prefix("Pss:")?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    kibibytes.unwrap_or(0) * 1024
}

fn table(status: &Status) -> String {
    let mebibytes = |bytes: u64| bytes >> 20;
    let ready = if status.is_ready {
        "ready"
    } else {
        "not ready"
    };
    let mut text = format!(
        "cluster    {}, {ready}\nkubeconfig {}\napi        {}\nmemory     {} MiB\n\n",
        status.name,
        status.kubeconfig.display(),
        status.api,
        mebibytes(status.memory_bytes)
    );
    for program in &status.programs {
        let pid = program.pid.map_or("down".to_owned(), |pid| pid.to_string());
        let memory = mebibytes(program.memory_bytes);
        text.push_str(&format!("{:36} {pid:>8} {memory:>6} MiB\n", program.name));
    }
    text
}
