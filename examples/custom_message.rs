//! Sends a message type that the program defines itself, on a private network: a sensor sends temperatures to a station.
//!
//! A private network differs from the public ones in the number at the start of each frame. Nodes of other networks
//! cannot connect. Do not send custom messages to kaspad: it disconnects at an unknown command.
//!
//! Run it with `cargo run --example custom_message`.

use kaspa_peer::wire::{CustomMessage, CustomPayload, Network};
use kaspa_peer::{Config, Listener, Peer};
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const NETWORK: Network = Network::Custom(0xcafe_0001);

struct Temperature {
    sensor: u16,
    millikelvin: u32,
}

impl CustomPayload for Temperature {
    const COMMAND: &'static str = "temperature";
    type Error = String;

    fn write(&self, payload: &mut Vec<u8>) {
        payload.extend(self.sensor.to_le_bytes());
        payload.extend(self.millikelvin.to_le_bytes());
    }

    /// The bytes come from the remote, so they can have any length.
    fn read(payload: &[u8]) -> Result<Self, String> {
        let &[a, b, c, d, e, f] = payload else { return Err(format!("{} bytes instead of 6", payload.len())) };
        Ok(Self { sensor: u16::from_le_bytes([a, b]), millikelvin: u32::from_le_bytes([c, d, e, f]) })
    }
}

/// The station passes the temperatures on to the main thread.
struct Station(Sender<Temperature>);

impl Listener for Station {
    fn on_custom(&self, peer: &Peer, message: CustomMessage) {
        match message.decode_as::<Temperature>() {
            // Sending fails if the main thread waits no longer.
            Some(Ok(temperature)) => drop(self.0.send(temperature)),
            Some(Err(error)) => println!("{peer}: a bad {} message: {error}", message.command),
            None => println!("{peer}: unknown command {}", message.command),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sender, temperatures) = channel();
    let station = Config::builder(NETWORK).user_agent("station", "1.0").listener(Station(sender)).build()?;
    let sensor = Config::builder(NETWORK).user_agent("sensor", "1.0").build()?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let to_station = Peer::outbound(TcpStream::connect(address)?, address, &sensor)?;
    let (stream, from) = listener.accept()?;
    let _to_sensor = Peer::inbound(stream, from, &station)?;

    // The station refuses the second message, because its payload is too short.
    let message = |millikelvin| CustomMessage::from_payload(&Temperature { sensor: 7, millikelvin });
    to_station.queue_message(&message(290_150)?)?;
    to_station.queue_message(&CustomMessage::new(Temperature::COMMAND, *b"cold")?)?;
    to_station.queue_message(&message(290_400)?)?;
    for _ in 0..2 {
        let Temperature { sensor, millikelvin } = temperatures.recv_timeout(Duration::from_secs(10))?;
        println!("sensor {sensor} measured {millikelvin} mK");
    }
    println!("received 2 temperatures");
    Ok(())
}
