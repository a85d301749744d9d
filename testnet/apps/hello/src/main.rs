//! The demo application, as two services in one program.
//!
//! `hello web` serves a page on port 8080. For each request it asks the service `counter` by name for the next
//! number, and says so on the page where that service does not answer.
//! `hello counter` counts requests on port 8081.
//! `hello echo` sends back what comes to port 7070 over UDP.
//! `hello ask HOST PORT PATH` prints what another service answers, for a look around from inside a container.
//!
//! It has no dependencies, so that the demo's image needs nothing but this program and the C library.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const WEB_PORT: u16 = 8080;
const COUNTER_PORT: u16 = 8081;
const ECHO_PORT: u16 = 7070;
const MAX_ECHO_BYTES: usize = 512;
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_REQUEST_BYTES: u64 = 16 * 1024;
const MAX_CONNECTIONS: usize = 64;

fn main() {
    let role = std::env::args().nth(1).unwrap_or_default();
    let result = match role.as_str() {
        "web" => serve(WEB_PORT, |path| web(path)),
        "counter" => {
            let count = AtomicU64::new(0);
            serve(COUNTER_PORT, move |path| counter(&count, path))
        }
        "echo" => echo(),
        "ask" => look(std::env::args().skip(2).collect()),
        _ => {
            eprintln!("usage: hello web | counter | echo | ask HOST PORT PATH");
            std::process::exit(2);
        }
    };
    if let Err(error) = result {
        eprintln!("hello {role}: {error}");
        std::process::exit(1);
    }
}

fn echo() -> std::io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", ECHO_PORT))?;
    println!("listening on port {ECHO_PORT}");
    let mut piece = [0; MAX_ECHO_BYTES];
    loop {
        let (length, sender) = socket.recv_from(&mut piece)?;
        // Whoever asked may be gone.
        let _ = socket.send_to(&piece[..length], sender);
    }
}

fn look(words: Vec<String>) -> std::io::Result<()> {
    let [host, port, path] = words.as_slice() else {
        return Err(std::io::Error::other("ask takes HOST PORT PATH"));
    };
    let port = port.parse().map_err(|_| std::io::Error::other("the port is no number"))?;
    println!("{}", ask(host, port, path)?);
    Ok(())
}

struct Response {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

fn text(status: &'static str, body: String) -> Response {
    Response {
        status,
        content_type: "text/plain; charset=utf-8",
        body,
    }
}

fn counter(count: &AtomicU64, path: &str) -> Response {
    match path {
        "/next" => text(
            "200 OK",
            (count.fetch_add(1, Ordering::SeqCst) + 1).to_string(),
        ),
        "/health" => text("200 OK", "ok\n".into()),
        _ => text("404 Not Found", "not found\n".into()),
    }
}

fn web(path: &str) -> Response {
    match path {
        "/" => page(),
        "/health" => text("200 OK", "ok\n".into()),
        _ => text("404 Not Found", "not found\n".into()),
    }
}

fn page() -> Response {
    let host = std::env::var("COUNTER_HOST").unwrap_or_else(|_| "counter".into());
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello from Welkin".into());
    let state = match ask(&host, COUNTER_PORT, "/next") {
        Ok(count) => format!(
            "<p>This page was served <b id=\"count\">{}</b> times.</p>",
            escape(&count)
        ),
        Err(error) => format!(
            "<p>The service <b>{}</b> does not answer ({}).</p>",
            escape(&host),
            escape(&error.to_string())
        ),
    };
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:18px/1.6 system-ui,sans-serif;max-width:34em;margin:12vh auto;padding:0 1em;\
         color:#123;background:linear-gradient(#cfe6f7,#fff) fixed}}h1{{font-weight:600}}</style></head>\
         <body><h1>{title}</h1>{state}<p>Two containers serve it: <b>web</b>, which you see, and <b>counter</b>, \
         which it asks by name. They were described in an SDL file, auctioned on a chain, and are paid for out of \
         escrow while you look.</p></body></html>\n",
        title = escape(&greeting),
    );
    Response {
        status: "200 OK",
        content_type: "text/html; charset=utf-8",
        body,
    }
}

/// The body of `GET path` at `host:port`, at most 1 KiB of it.
fn ask(host: &str, port: u16, path: &str) -> std::io::Result<String> {
    let address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.trim().to_string()),
        _ => Err(std::io::Error::other("not an answer of status 200")),
    }
}

fn serve(
    port: u16,
    answer: impl Fn(&str) -> Response + Send + Sync + 'static,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on port {port}");
    let answer = Arc::new(answer);
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (answer, open) = (answer.clone(), open.clone());
        std::thread::spawn(move || {
            if let Err(error) = handle(stream, &*answer) {
                eprintln!("request failed: {error}");
            }
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(())
}

fn handle(mut stream: TcpStream, answer: &dyn Fn(&str) -> Response) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?).take(MAX_REQUEST_BYTES);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let response = match method {
        "GET" | "HEAD" => answer(path),
        _ => text("405 Method Not Allowed", "only GET\n".into()),
    };
    println!("{method} {path} {}", response.status);
    write!(
        stream,
        "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(response.body.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
