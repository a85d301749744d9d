//! What files are accepted and what is said about the others.

mod corpus;
mod fixtures;
mod hostile;
mod mutation;
mod rules;
mod samples;

use super::{Diagnostics, Sdl, Strictness, parse};

/// A small file that is fine; tests change a line of it.
const PLAIN: &str = "\
version: \"2.0\"
services:
  web:
    image: nginx:1.29
    expose:
      - port: 80
        to:
          - global: true
profiles:
  compute:
    web:
      resources:
        cpu:
          units: 0.5
        memory:
          size: 512Mi
        storage:
          size: 1Gi
  placement:
    eu:
      pricing:
        web:
          denom: uwlk
          amount: 100
deployment:
  web:
    eu:
      profile: web
      count: 1
";

fn lenient(text: &str) -> Result<Sdl, Diagnostics> {
    parse("app.yaml", text.as_bytes(), Strictness::Lenient)
}

/// The plain file with one text in it replaced.
fn changed(from: &str, to: &str) -> Result<Sdl, Diagnostics> {
    assert!(PLAIN.contains(from), "{from}");
    lenient(&PLAIN.replacen(from, to, 1))
}

fn accepted(from: &str, to: &str) -> Sdl {
    changed(from, to).unwrap_or_else(|remarks| panic!("{remarks}"))
}

/// The first remark, as people see it.
fn refused(from: &str, to: &str) -> String {
    let remarks = changed(from, to).unwrap_err();
    let first = Diagnostics {
        items: remarks.items[..1].to_vec(),
        ..remarks
    };
    first.to_string()
}
