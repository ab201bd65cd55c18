//! Dials through a SOCKS5 proxy (RFC 1928, without authentication).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Connects to `target`, a host and a port, through `proxy`. The proxy resolves host names.
///
/// The timeout covers everything after the lookup of the proxy's own name.
pub fn connect(proxy: &str, target: &str, timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + timeout;
    match negotiate(proxy, target, deadline) {
        // A socket's timeout has one of these kinds, which one depends on the system.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {timeout:?}")))
        }
        other => other,
    }
}

fn negotiate(proxy: &str, target: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut stream = Timed { stream: dial(proxy, deadline)?, deadline };
    // Version 5 and one method of authentication: none.
    stream.write_all(&[5, 1, 0])?;
    if stream.read_array::<2>()? != [5, 0] {
        return Err(io::Error::other("not a SOCKS5 proxy, or one that wants a password"));
    }
    stream.write_all(&request(target)?)?;
    let [version, status, _, kind] = stream.read_array::<4>()?;
    if version != 5 || status != 0 {
        return Err(io::Error::other(refusal(status)));
    }
    // The address from which the proxy dialled, and a port. Neither is needed.
    let length = match kind {
        1 => 4,
        3 => usize::from(stream.read_array::<1>()?[0]),
        4 => 16,
        other => return Err(io::Error::other(format!("its answer has the unknown address type {other}"))),
    };
    stream.read_exact(&mut vec![0; length + 2])?;
    let stream = stream.stream;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok(stream)
}

fn dial(proxy: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such address");
    for address in proxy.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The request to connect to a host and a port.
fn request(target: &str) -> io::Result<Vec<u8>> {
    let mut request = vec![5, 1, 0];
    if let Ok(address) = target.parse::<SocketAddr>() {
        match address {
            SocketAddr::V4(address) => {
                request.push(1);
                request.extend(address.ip().octets());
            }
            SocketAddr::V6(address) => {
                request.push(4);
                request.extend(address.ip().octets());
            }
        }
        request.extend(address.port().to_be_bytes());
        return Ok(request);
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{target}: not a host and a port"));
    let (host, port) = target.rsplit_once(':').ok_or_else(invalid)?;
    let port: u16 = port.parse().map_err(|_| invalid())?;
    let length = u8::try_from(host.len()).ok().filter(|length| *length > 0).ok_or_else(invalid)?;
    request.extend([3, length]);
    request.extend(host.bytes());
    request.extend(port.to_be_bytes());
    Ok(request)
}

fn refusal(status: u8) -> String {
    let reason = match status {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown status",
    };
    format!("it reports: {reason} ({status})")
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A socket whose reads and writes share one deadline, so that a proxy that sends one byte at a time gains no time.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn read_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A proxy that answers with these bytes, one at a time, and then stays silent as long as the client is there.
    fn proxy(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            for byte in answer {
                if client.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
            let _ = io::copy(&mut client, &mut io::sink());
        });
        address
    }

    fn error(answer: &'static [u8], timeout: Duration) -> (io::ErrorKind, String) {
        let error = connect(&proxy(answer), "node.example:16111", timeout).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_proxy_that_stays_silent_or_answers_slowly_is_given_up_at_the_deadline() {
        let expected = (io::ErrorKind::TimedOut, "no connection within 200ms".to_owned());
        // It accepts the method and the request, and then sends an address of 255 bytes that takes 5 seconds.
        const SLOW: [u8; 264] = {
            let mut bytes = [255; 264];
            let (mut index, start) = (0, [5, 0, 5, 0, 0, 3]);
            while index < start.len() {
                bytes[index] = start[index];
                index += 1;
            }
            bytes
        };
        for answer in [&[] as &[u8], &[5], &[5, 0], &[5, 0, 5, 0], &SLOW] {
            assert_eq!(error(answer, Duration::from_millis(200)), expected, "{answer:?}");
        }
    }

    #[test]
    fn what_a_proxy_reports_is_in_the_error() {
        let long = Duration::from_secs(60);
        assert_eq!(error(&[5, 0, 5, 4, 0, 1], long).1, "it reports: host unreachable (4)");
        assert_eq!(error(b"HTTP/1.1 400", long).1, "not a SOCKS5 proxy, or one that wants a password");
        assert_eq!(error(&[5, 0, 5, 0, 0, 7], long).1, "its answer has the unknown address type 7");
    }
}
