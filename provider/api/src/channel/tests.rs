//! The conversation, said and misheard.

mod talk;
mod wire;

use welkin_modules::ids::DeploymentId;
use welkin_modules::spec::{GroupSpec, ResourceUnit};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Amount, Hash, Time};

use super::*;
use crate::LeaseId;
use crate::delegation::{Delegation, Scopes, SignedDelegation};

const PEER: [u8; 32] = [9; 32];
const PROVIDER: Address = Address([3; 20]);

fn lease() -> LeaseId {
    LeaseId {
        deployment: DeploymentId(12),
        group: 1,
        order: 3,
    }
}

fn delegation(scopes: Scopes) -> SignedDelegation {
    Delegation {
        chain_id: "welkin-test".to_owned(),
        genesis_hash: Hash([5; 32]),
        peer: PEER,
        provider: PROVIDER,
        lease: lease(),
        scopes,
        not_before: Time(1),
        not_after: Time(2),
        nonce: [7; 16],
    }
    .sign(&SigningKey::from_seed(&[1; 32]))
}

fn hello(scopes: Scopes) -> Hello {
    Hello {
        version: PROTOCOL_VERSION,
        caller: Caller::Tenant(Box::new(delegation(scopes))),
    }
}

const ADDRESSEE: Addressee = Addressee {
    genesis_hash: Hash([5; 32]),
    provider: PROVIDER,
};

fn stranger() -> Hello {
    Hello {
        version: PROTOCOL_VERSION,
        caller: Caller::Stranger(ADDRESSEE),
    }
}

/// A group of one service with so many copies.
fn group(count: u32) -> GroupSpec {
    GroupSpec {
        name: "west".to_owned(),
        requirements: Default::default(),
        resources: vec![ResourceUnit {
            id: 1,
            cpu_millis: 500,
            memory_bytes: 1 << 28,
            gpu: Default::default(),
            storage: Vec::new(),
            endpoints: Vec::new(),
            count,
            max_rate_uwlk_per_hour: Amount(1_000),
        }],
    }
}

fn shell(tty: bool, stdin: bool) -> ExecRequest {
    ExecRequest {
        service: "web".to_owned(),
        replica: 0,
        command: vec!["cat".to_owned()],
        tty,
        stdin,
        size: tty.then_some(TerminalSize {
            columns: 80,
            rows: 24,
        }),
    }
}

fn status() -> LeaseStatus {
    LeaseStatus {
        lease: lease(),
        provider: PROVIDER,
        phase: Phase::Ready,
        running_manifest: Some(Hash([1; 32])),
        accepted_manifest: Some(Hash([1; 32])),
        failure: None,
        services: vec![ServiceStatus {
            name: "web".to_owned(),
            wanted: 2,
            ready: 2,
            restarts: 0,
            message: None,
            urls: vec!["http://web.localhost:8080/".to_owned()],
            ports: vec![ForwardedPort {
                host: "127.0.0.1".to_owned(),
                external_port: 30_000,
                port: 5432,
                protocol: crate::manifest::Protocol::Tcp,
            }],
            unproven_hosts: vec![UnprovenHost {
                host: "www.example.com".to_owned(),
                txt_name: "_welkin.www.example.com".to_owned(),
                txt_value: "welkin1...".to_owned(),
            }],
        }],
    }
}
