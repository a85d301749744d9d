//! The thread that owns the WAL and the validator's key: nothing is signed before what it depends
//! on is durable.
//!
//! ```text
//!   Persist, Persist, Sign, Persist ──► append all ──► sync of the WAL ──► sign state ──► Signed
//! ```
//!
//! One after the other, though both at once would be faster: a state that survives a power cut without the records that led
//! to it forbids the vote that the node would cast after it, and a network that has no validator to spare then waits for
//! that vote for ever.

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

    /// Makes the WAL durable, then each signature, and hands it out.
    fn sign(&mut self, requests: Vec<SignRequest>) -> Result<(), SignError> {
        self.wal.sync()?;
        for request in requests {
            let answer = sign(self.signer.as_mut(), &self.chain_id, request)?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tokio::sync::mpsc::unbounded_channel;
    use welkin_consensus::files::PrivValidatorKey;
    use welkin_consensus::types::{BlockId, ValidatorAddress, VoteType};
    use welkin_runtime::crypto::SigningKey;

    use super::*;
    use crate::disk::{Fault, ModelDisk};
    use crate::lock::FolderLock;
    use crate::wal::WalConfig;

    const STATE: &str = "/data/priv_validator_state.json";

    fn signer(disk: &ModelDisk) -> Signer {
        let lock = Arc::new(FolderLock::acquire(disk, Path::new("/data")).unwrap());
        let key = PrivValidatorKey(SigningKey::from_seed(&[3; 32]));
        Signer::open(Arc::new(disk.clone()), Path::new(STATE), key, lock).unwrap()
    }

    fn nil_vote() -> SignRequest {
        SignRequest::Vote(Vote {
            vote_type: VoteType::Prevote,
            height: 3,
            round: 3,
            block_id: BlockId::NIL,
            timestamp: Timestamp {
                seconds: 1,
                nanos: 0,
            },
            validator_address: ValidatorAddress([0; 20]),
            validator_index: 0,
            signature: None,
        })
    }

    #[test]
    fn nothing_is_signed_before_what_led_to_it_is_durable() {
        let (disk_of_wal, disk_of_state) = (ModelDisk::default(), ModelDisk::default());
        let config = WalConfig::new([1; 32], 2);
        let wal = Wal::open(
            Arc::new(disk_of_wal.clone()),
            Path::new("/data/wal"),
            &config,
        );
        Signer::create_state(&disk_of_state, Path::new(STATE)).unwrap();
        let (answers, mut answered) = unbounded_channel();
        let mut worker = Worker {
            wal: wal.unwrap(),
            signer: Some(signer(&disk_of_state)),
            chain_id: "welkin-test".to_owned(),
            answers,
            unsigned_heights: 0,
        };
        worker.sign(vec![nil_vote()]).unwrap();
        assert!(matches!(answered.try_recv(), Ok(Input::Signed(_))));

        let SignRequest::Vote(vote) = nil_vote() else {
            unreachable!()
        };
        let later = SignRequest::Vote(Vote { round: 4, ..vote });
        worker.wal.append(RECORD, b"what led to it").unwrap();
        disk_of_wal.fail(Fault::Sync, 0);
        assert!(worker.sign(vec![later]).is_err());
        assert!(answered.try_recv().is_err());
        drop(worker);
        assert_eq!(signer(&disk_of_state).state().round, 3);
    }
}
