//! `welkin-provider doctor`: what is as it should be, and what to do about the rest.

use std::time::Duration;

use welkin_runtime::Time;

use crate::backend::container::Config as ContainerConfig;
use crate::backend::{Backend, Finding, Instance};
use crate::config::Config;
use crate::daemon;
use crate::ingress;

/// How far the clock may be from proven block time before tenants are refused (delegations allow 60 s of skew).
const CLOCK_LIMIT: Duration = Duration::from_secs(30);

/// Looks at everything that the daemon needs.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let identity = daemon::identity(config);
    findings.push(match &identity {
        Ok(identity) => good("account", format!("{} opens", identity.key.address())),
        Err(error) => bad("account", format!("{error:#}")),
    });
    let chain = daemon::connect(config).await;
    match &chain {
        Ok(chain) => {
            let proven = chain
                .account(&welkin_runtime::Address::of_module("accounts"))
                .await;
            findings.push(match &proven {
                Ok(proven) => good(
                    "chain",
                    format!(
                        "{} is proven up to height {}",
                        chain.info().chain_id,
                        proven.height
                    ),
                ),
                Err(error) => bad("chain", error.to_string()),
            });
            if let Ok(proven) = proven {
                findings.push(clock(proven.time));
            }
        }
        Err(error) => findings.push(bad("chain", format!("{error:#}"))),
    }
    if let (Ok(identity), Ok(chain)) = (&identity, &chain) {
        let backend = ContainerConfig {
            engine_socket: config.engine_socket.clone(),
            instance: Instance {
                genesis: chain.info().genesis_hash,
                provider: identity.key.address(),
            },
            allow_root: config.allow_root,
            local_images: config.local_images.clone(),
        };
        match backend.connect().await {
            Ok(backend) => findings.extend(backend.doctor().await),
            Err(error) => findings.push(bad("container engine", error.to_string())),
        }
    }
    findings.push(match ingress::is_running(&config.home) {
        true => good("ingress", "it runs".to_owned()),
        false => bad(
            "ingress",
            "it does not run, so the daemon does not bid; start `welkin-provider ingress`"
                .to_owned(),
        ),
    });
    findings.push(peer_port(config).await);
    findings
}

fn clock(block_time: Time) -> Finding {
    let off = Duration::from_nanos(daemon::book::now().0.abs_diff(block_time.0));
    let says = format!("{:.1} s from proven block time", off.as_secs_f64());
    match off <= CLOCK_LIMIT {
        true => good("clock", says),
        false => bad(
            "clock",
            format!(
                "{says}; set it by NTP, or tenants' delegations are refused (unless the chain stands still)"
            ),
        ),
    }
}

/// Whether something listens where the peer channel should.
async fn peer_port(config: &Config) -> Finding {
    let subject = "peer channel";
    for text in &config.channel_listen {
        let parts: Vec<&str> = text.split('/').collect();
        if let ["", "ip4" | "ip6", address, "tcp", port] = parts[..] {
            let address = match address {
                "0.0.0.0" => "127.0.0.1",
                "::" => "::1",
                other => other,
            };
            let Ok(port) = port.parse::<u16>() else {
                continue;
            };
            let dialled = tokio::net::TcpStream::connect((address, port));
            return match tokio::time::timeout(Duration::from_secs(3), dialled).await {
                Ok(Ok(_)) => good(subject, format!("{text} takes connections")),
                _ => bad(
                    subject,
                    format!("nothing answers at {text}; start `welkin-provider start`"),
                ),
            };
        }
    }
    bad(
        subject,
        "no TCP address is in `channel_listen`, so only QUIC can be used".to_owned(),
    )
}

fn good(subject: &str, says: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        healthy: true,
        says,
    }
}

fn bad(subject: &str, says: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        healthy: false,
        says,
    }
}
