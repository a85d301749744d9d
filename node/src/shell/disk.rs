//! The thread that owns the WAL and the validator's key: nothing is signed before what it depends
//! on is durable.
//!
//! ```text
//!   Persist, Persist, Sign, Persist ──► append all ──► sync of the WAL ┐ at the same time
//!                                              └────► sign state       ┘──► Signed
//! ```

use crate::sign_state::{self, SignError, Signer};
use crate::stop::Stop;
use crate::wal::Wal;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;
use welkin_consensus::files::Step;
use welkin_consensus::machine::{Input, SignRequest};
use welkin_consensus::types::{Proposal, Timestamp, Vote};

/// Heights after which the WAL is synced though nothing was signed, so that old files can go.
const UNSIGNED_HEIGHTS: u32 = 16;

/// The kind of the machine's records in the WAL.
pub const RECORD: u8 = 1;

/// Work for the thread.
#[derive(Debug)]
enum Job {
    Persist(Vec<u8>),
    Sign(SignRequest),
    EndHeight(u64),
}

/// The thread's queue. It is bounded by what the machine asks for: the messages of one height.
pub struct DiskThread {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl DiskThread {
    /// Starts the thread. Without a signer every request to sign is refused.
    pub fn start(
        wal: Wal,
        signer: Option<Signer>,
        chain_id: String,
        answers: UnboundedSender<Input>,
        stop: Stop,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let stop_on_panic = stop.clone();
        let worker = Worker {
            wal,
            signer,
            chain_id,
            answers,
            unsigned_heights: 0,
        };
        let run = move || {
            if let Err(why) = worker.run(&queue) {
                stop.fail(format!("{why}"));
            }
        };
        let thread = stop_on_panic.thread("wal", run)?;
        Ok(DiskThread { jobs, thread })
    }

    /// Appends a record.
    pub fn persist(&self, record: Vec<u8>) {
        self.send(Job::Persist(record));
    }

    /// Signs, once all records before this are durable.
    pub fn sign(&self, request: SignRequest) {
        self.send(Job::Sign(request));
    }

    /// Notes that a block is durable in the block log.
    pub fn end_height(&self, height: u64) {
        self.send(Job::EndHeight(height));
    }

    /// Writes what waits, and ends the thread.
    pub fn finish(self) {
        drop(self.jobs);
        // A thread that panicked has told so itself.
        let _ = self.thread.join();
    }

    fn send(&self, job: Job) {
        // The thread ends early only with an error, and that stops the node.
        let _ = self.jobs.send(job);
    }
}

struct Worker {
    wal: Wal,
    signer: Option<Signer>,
    chain_id: String,
    answers: UnboundedSender<Input>,
    unsigned_heights: u32,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) -> Result<(), SignError> {
        while let Ok(first) = jobs.recv() {
            let mut requests = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter()) {
                match job {
                    Job::Persist(record) => self.wal.append(RECORD, &record)?,
                    Job::EndHeight(height) => {
                        self.wal.append_end_height(height)?;
                        self.unsigned_heights += 1;
                    }
                    Job::Sign(request) => requests.push(request),
                }
            }
            if !requests.is_empty() {
                self.sign(requests)?;
                self.unsigned_heights = 0;
            } else if self.unsigned_heights >= UNSIGNED_HEIGHTS {
                self.wal.sync()?;
                self.unsigned_heights = 0;
            }
        }
        Ok(self.wal.sync()?)
    }

    /// Makes the WAL and the signatures durable at the same time, then hands the signatures out.
    fn sign(&mut self, requests: Vec<SignRequest>) -> Result<(), SignError> {
        let Worker {
            wal,
            signer,
            chain_id,
            ..
        } = self;
        let answers = std::thread::scope(|scope| {
            let synced = scope.spawn(|| wal.sync());
            let signed: Result<Vec<Input>, SignError> = requests
                .into_iter()
                .map(|request| sign(signer.as_mut(), chain_id, request))
                .collect();
            synced.join().expect("syncing does not panic")?;
            signed
        })?;
        for answer in answers {
            // The shell may have ended.
            let _ = self.answers.send(answer);
        }
        Ok(())
    }
}

fn sign(
    signer: Option<&mut Signer>,
    chain_id: &str,
    request: SignRequest,
) -> Result<Input, SignError> {
    let Some(signer) = signer else {
        return Ok(Input::SignRefused(request));
    };
    let (height, round, step) = request.place();
    let step = Step::try_from(step).expect("a request is a proposal, a prevote or a precommit");
    match signer.sign(height, round, step, &request.sign_bytes(chain_id)) {
        Ok(sign_state::Signed::Fresh(signature)) => Ok(Input::Signed(request.signed(signature))),
        Ok(sign_state::Signed::Earlier {
            signature,
            timestamp,
        }) => Ok(Input::Signed(at(request, timestamp).signed(signature))),
        Err(SignError::Refused(why)) => {
            tracing::warn!(target: "welkin::consensus", height, round, ?step, "not signed: {why}");
            Ok(Input::SignRefused(request))
        }
        Err(why) => Err(why),
    }
}

/// The same request with the time of an earlier signature.
fn at(request: SignRequest, timestamp: Timestamp) -> SignRequest {
    match request {
        SignRequest::Proposal(proposal) => SignRequest::Proposal(Proposal {
            timestamp,
            ..proposal
        }),
        SignRequest::Vote(vote) => SignRequest::Vote(Vote { timestamp, ..vote }),
    }
}
