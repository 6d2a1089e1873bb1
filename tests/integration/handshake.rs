//! The shared-key handshakes of the shared vectors against running programs. Nonces are random there, so digests are computed
//! anew; everything else is sent as recorded.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use sluice::msgpack::write;

use super::support::{Client, Frame, Router, Running, ack, msgpack, vectors};

/// How soon a peer that failed has to be closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// A router for every server that the vectors describe.
#[derive(Default)]
struct Servers(HashMap<String, Running>);

impl Servers {
    fn get(&mut self, server: &Value) -> &Running {
        let text = |key: &str| server[key].as_str().unwrap().to_owned();
        let key = match &*text("shared_key") {
            "" => ("Empty_Shared_Key", "on".to_owned()),
            key => ("Shared_Key", key.to_owned()),
        };
        let mut settings = vec![key, ("Self_Hostname", text("self_hostname"))];
        for (user, password) in server["users"].as_object().unwrap() {
            let user = format!("{user} {}", password.as_str().unwrap());
            settings.push(("Security.Users", user));
        }
        let settings: Vec<_> = settings
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        self.0.entry(format!("{settings:?}")).or_insert_with(|| {
            Router::new()
                .service("Flush", "0.01")
                .forward(&settings)
                .file("all.txt", &[])
                .start()
        })
    }
}

fn sha512(parts: &[&[u8]]) -> String {
    let hash = Sha512::digest(parts.concat());
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What the server said first.
struct Helo {
    nonce: String,
    auth: String,
}

fn helo(client: &mut Client, has_users: bool) -> Helo {
    let bytes = client.read(if has_users { 97 } else { 64 });
    let helo = msgpack::value(&mut bytes.as_slice());
    assert_eq!(
        (&helo[0], &helo[1]["keepalive"]),
        (&json!("HELO"), &json!(true))
    );
    let text = |key: &str| helo[1][key].as_str().unwrap().to_owned();
    Helo {
        nonce: text("nonce"),
        auth: text("auth"),
    }
}

/// The salt of a vector's client.
fn salt(vector: &Value) -> Vec<u8> {
    vectors::unhex(vector["client"]["shared_key_salt_hex"].as_str().unwrap())
}

/// What the vector's client writes, for the nonce of this connection.
fn ping(vector: &Value, helo: &Helo) -> Vec<u8> {
    let name = vector["name"].as_str().unwrap();
    let recorded = vectors::unhex(vector["client_bytes_hex"].as_str().unwrap());
    if ["message_before_ping", "ping_types_wrong", "replayed_ping"].contains(&name) {
        return recorded;
    }
    let text = |key: &str| vector["client"][key].as_str().unwrap_or_default();
    let salt = salt(vector);
    let (hostname, user) = (text("hostname").as_bytes(), text("username").as_bytes());
    let key = text("shared_key").as_bytes();
    let mut digest = sha512(&[&salt, hostname, helo.nonce.as_bytes(), key]);
    if name == "ping_digest_truncated" {
        digest.pop();
    }
    let password = if user.is_empty() {
        String::new()
    } else {
        sha512(&[helo.auth.as_bytes(), user, text("password").as_bytes()])
    };
    let mut out = Vec::new();
    let is_short = name == "ping_five_elements";
    write::array_header(&mut out, if is_short { 5 } else { 6 });
    write::str(&mut out, b"PING");
    write::str(&mut out, hostname);
    if name == "ping_salt_bin_ok" {
        write::bin(&mut out, &salt);
    } else {
        write::str(&mut out, &salt);
    }
    write::str(&mut out, digest.as_bytes());
    write::str(&mut out, user);
    if !is_short {
        write::str(&mut out, password.as_bytes());
    }
    assert_eq!(out.len(), recorded.len(), "{name}");
    out
}

/// Plays a handshake that has to succeed.
fn accepted(vector: &Value, client: &mut Client, helo: &Helo) {
    let server = &vector["server"];
    let text = |key: &str| server[key].as_str().unwrap();
    let key = text("shared_key").as_bytes();
    let hostname = text("self_hostname");
    let digest = sha512(&[
        &salt(vector),
        hostname.as_bytes(),
        helo.nonce.as_bytes(),
        key,
    ]);
    let length = vector["expect"]["pong_hex"].as_str().unwrap().len() / 2;
    let pong = msgpack::value(&mut client.read(length).as_slice());
    assert_eq!(pong, json!(["PONG", true, "", hostname, digest]));
    if vector["client_bytes_after_ping_hex"].is_string() {
        assert_eq!(client.read(ack("hs1").len()), ack("hs1"));
    }
    client.send(&Frame::new("app").log("good").chunk("good"));
    assert_eq!(client.read(ack("good").len()), ack("good"));
}

/// Plays a handshake that has to fail.
fn refused(vector: &Value, client: &mut Client) {
    let received = client.read_to_end(CLOSED_WITHIN).unwrap();
    let pong = msgpack::value(&mut received.as_slice());
    assert_eq!(pong[1], json!(false));
    let reason = &vector["expect"]["reason_sent_by_fluentd"];
    assert!(reason.is_null() || pong[2] == *reason, "{pong}");
}

/// Checklist: forward 43, 44, 45, 46.
#[test]
fn recorded_handshakes_end_as_they_should() {
    let mut servers = Servers::default();
    let mut events = HashMap::new();
    for vector in vectors::all("handshake") {
        let name = vector["name"].as_str().unwrap();
        let server = &vector["server"];
        let router = servers.get(server);
        let taken = events.entry(router.process.pid()).or_insert(0);
        let mut client = router.connect();
        let helo = helo(&mut client, server["users"] != json!({}));
        let mut bytes = ping(&vector, &helo);
        let after = vector["client_bytes_after_ping_hex"]
            .as_str()
            .unwrap_or_default();
        bytes.extend(vectors::unhex(after));
        let cut = vector["client_write_offsets"][0]
            .as_u64()
            .unwrap_or_default();
        let (first, second) = bytes.split_at(cut as usize);
        client.write(first).unwrap();
        client.write(second).unwrap();
        if vector["expect"]["result"] == "accept" {
            accepted(&vector, &mut client, &helo);
            *taken += if after.is_empty() { 1 } else { 2 };
        } else {
            refused(&vector, &mut client);
        }
        let counted = router.counter("sluice_input_records_total", "name=\"forward.0\"");
        assert_eq!(counted, *taken, "{name}");
    }
}

/// Checklist: forward 45.
#[test]
fn a_ping_that_comes_byte_by_byte_is_put_together() {
    let router = Router::new()
        .forward(&[("Shared_Key", "secret")])
        .file("all.txt", &[])
        .start();
    let vector = vectors::all("handshake")
        .into_iter()
        .find(|vector| vector["name"] == "shared_key_ok")
        .unwrap();
    let mut client = router.connect();
    let helo = helo(&mut client, false);
    for byte in ping(&vector, &helo) {
        client.write(&[byte]).unwrap();
    }
    let pong = msgpack::value(&mut client.read(148).as_slice());
    assert_eq!((&pong[1], &pong[3]), (&json!(true), &json!("localhost")));
}

/// Checklist: forward 44.
#[test]
fn what_can_never_be_a_ping_is_refused_at_once_and_nothing_behind_it_is_taken() {
    let router = Router::new()
        .forward(&[("Shared_Key", "secret")])
        .file("all.txt", &[])
        .start();
    let long = [&b"\x96\xdb\x00\x02\0\0"[..], &[b'x'; 1000]].concat();
    let cases: [&[u8]; 6] = [
        b"\xc1",
        &[0x91; 200],
        &long,
        b"\xc0",
        b"GET / HTTP/1.1",
        b"[\"PING\"]",
    ];
    let mut answered = 0;
    for bytes in cases {
        let mut client = router.connect();
        helo(&mut client, false);
        let behind = Frame::new("app").log("bad").chunk("bad").bytes();
        drop(client.write(&[bytes, &behind].concat()));
        let received = client.read_to_end(CLOSED_WITHIN).unwrap();
        // The system may throw the answer away, since not all was read.
        if !received.is_empty() {
            let pong = msgpack::value(&mut received.as_slice());
            assert_eq!(pong, json!(["PONG", false, "invalid ping message", "", ""]));
            answered += 1;
        }
    }
    let taken = router.counter("sluice_input_records_total", "name=\"forward.0\"");
    assert_eq!(taken, 0);
    assert!(answered > 0);
}

/// Checklist: forward 47.
#[test]
fn users_without_a_key_stop_the_start() {
    let mut router = Router::new()
        .forward(&[("Security.Users", "alice pw")])
        .file("all.txt", &[])
        .launch();
    assert_eq!(router.process.end().code(), Some(1));
    let text = router.process.text();
    assert!(text.contains("needs `shared_key`"), "{text}");
}

#[test]
fn a_peer_with_a_handshake_is_told_off_where_none_is_configured() {
    let router = Router::new().forward(&[]).file("all.txt", &[]).start();
    let mut client = router.connect();
    let vector = &vectors::all("handshake")[0];
    let ping = vectors::unhex(vector["client_bytes_hex"].as_str().unwrap());
    client.write(&ping).unwrap();
    assert_eq!(client.read_to_end(CLOSED_WITHIN), Some(Vec::new()));
    router
        .process
        .says("the peer expects a shared_key handshake");
}
