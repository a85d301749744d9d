//! A server that lies is named, with the exit code that says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{Chain, run};

/// Passes requests on, and spoils the values of state in the answers.
fn liar(honest: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let honest = honest.clone();
            // A client that hangs up ends its thread, and nothing else.
            std::thread::spawn(move || serve(client, &honest));
        }
    });
    format!("http://{address}")
}

fn serve(mut client: TcpStream, honest: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut server = TcpStream::connect(honest)?;
    write!(
        server,
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )?;
    server.write_all(&body)?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let body = spoil(body);
    write!(
        client,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Another value than the one that the proof shows.
fn spoil(body: &str) -> String {
    let Ok(mut answer) = serde_json::from_str::<serde_json::Value>(body) else {
        return body.to_owned();
    };
    if let Some(value) = answer.pointer_mut("/result/response/value")
        && value.is_string()
    {
        *value = "AQEBAQEBAQEB".into();
    }
    answer.to_string()
}

#[test]
fn a_server_that_lies_is_named_and_the_exit_code_is_7() {
    let chain = Chain::start();
    let liar = liar(chain.url().replace("http://", ""));
    let mut ask = chain.welkin("alice", &["query", "accounts", "supply"]);
    let ran = run(ask.env("WELKIN_NODE", &liar));
    let said = ran.failure(7);
    assert!(said.contains("does not tell the truth"), "{said}");
    assert!(said.contains(&liar), "who it was: {said}");
}
