//! `welkin keys`.

use std::io::{BufRead, IsTerminal};

use rand::RngCore;
use serde::Serialize;
use welkin_client::derive::{self, Role};
use welkin_client::keyring::KeyEntry;
use welkin_runtime::crypto::SigningKey;

use crate::args::Keys;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{pairs, say, table};

#[derive(Serialize)]
struct Secret {
    name: String,
    address: String,
    secret_hex: String,
}

/// Looks after keys.
pub fn run(context: &Context, command: Keys) -> Outcome {
    match command {
        Keys::Add { name } => add(context, &name),
        Keys::List => list(context),
        Keys::Show { name } => show(context, &context.keyring().show(&name)?),
        Keys::Import { name } => import(context, &name),
        Keys::Export { name, unsafe_print } => export(context, &name, unsafe_print),
        Keys::Delete { name, yes } => delete(context, &name, yes),
    }
}

fn show(context: &Context, entry: &KeyEntry) -> Outcome {
    context.format.print(entry, |entry| {
        pairs(&[
            ("name", entry.name.clone()),
            ("address", entry.address.to_string()),
        ])
    })
}

fn list(context: &Context) -> Outcome {
    let (entries, damaged) = context.keyring().list()?;
    context.format.print(&entries, |entries| {
        table(
            &["NAME", "ADDRESS"],
            entries
                .iter()
                .map(|entry| vec![entry.name.clone(), entry.address.to_string()]),
        )
    })?;
    // One that cannot be read hides no other.
    let mut damaged = damaged.into_iter();
    let first = damaged.next();
    for error in damaged {
        say(error.to_string());
    }
    first.map_or(Ok(()), |error| Err(error.into()))
}

fn add(context: &Context, name: &str) -> Outcome {
    let mut entropy = [0; 32];
    rand::rng().fill_bytes(&mut entropy);
    let phrase = derive::phrase(&entropy);
    let entry = keep(context, name, &phrase)?;
    say(
        "Write these words down: they restore the key, and nothing else does. They are not shown \
         again.",
    );
    say(format!("\n  {}\n", phrase.as_str()));
    show(context, &entry)
}

fn import(context: &Context, name: &str) -> Outcome {
    if std::io::stdin().is_terminal() {
        say("Type the phrase, then Enter:");
    }
    let mut phrase = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut phrase)
        .map_err(|error| Failure::new(1, format!("standard input: {error}")))?;
    show(context, &keep(context, name, &phrase)?)
}

fn keep(context: &Context, name: &str, phrase: &str) -> Outcome<KeyEntry> {
    let seed = derive::seed(phrase, "").map_err(|error| Failure::usage(error.to_string()))?;
    let secret = derive::role_key(&seed, 0, Role::Account, 0)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let password = context.password("Password for the new key")?;
    Ok(context
        .keyring()
        .add(name, &SigningKey::from_seed(&secret), &password)?)
}

fn export(context: &Context, name: &str, unsafe_print: bool) -> Outcome {
    if !unsafe_print {
        return Err(Failure::usage(
            "whoever sees the secret owns the account; give --unsafe-print to print it all the \
             same",
        ));
    }
    let entry = context.keyring().show(name)?;
    let key = context
        .keyring()
        .open(name, &context.password("Password of the key")?)?;
    let secret = Secret {
        name: entry.name,
        address: entry.address.to_string(),
        secret_hex: hex::encode(key.seed()),
    };
    context
        .format
        .print(&secret, |secret| secret.secret_hex.clone())
}

fn delete(context: &Context, name: &str, yes: bool) -> Outcome {
    let entry = context.keyring().show(name)?;
    if !yes {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "give --yes to delete the key {name} of {} for good",
                entry.address
            )));
        }
        let question = format!("Delete the key {name} of {} for good?", entry.address);
        let sure = dialoguer::Confirm::new()
            .with_prompt(question)
            .default(false)
            .interact();
        if !sure.unwrap_or(false) {
            return Err(Failure::new(1, "nothing was deleted"));
        }
    }
    context.keyring().delete(name)?;
    say(format!("deleted {name}"));
    Ok(())
}
