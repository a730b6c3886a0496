//! Our own ways to deliver and to connect, against the plain one.

use super::idle::stay;
use super::{less, per_delivery, rss_per_connection, scenario};
use crate::ladder::experiment::{Bound, Experiment, Subject, Work};
use crate::ladder::scale::Scale;
use crate::server::{Channels, Encoding, Server, Setup, Transport};

/// Ours without what the experiment is about.
const PLAIN: &str = "plain";

pub(super) fn delivery(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = scenario(
        "fanout",
        size.seconds,
        [&"--connections", &size.listeners, &"--one-at-a-time"],
    );
    let plain = Setup::plain(Server::Fanfare);
    let subject = |label, setup| Subject::new(label, Work::run(setup, &arguments));
    Experiment {
        name: "variants",
        turns: size.turns,
        judged: "positioned",
        title: format!(
            "{} listeners, one publication at a time: positioned and recoverable, Protobuf and TLS \
             against plain JSON",
            size.listeners
        ),
        subjects: vec![
            subject(
                "positioned",
                Setup {
                    channels: Channels::History,
                    ..plain
                },
            ),
            subject(PLAIN, plain),
            subject(
                "Protobuf",
                Setup {
                    encoding: Encoding::Protobuf,
                    ..plain
                },
            ),
            subject(
                "TLS",
                Setup {
                    transport: Transport::Tls,
                    ..plain
                },
            ),
        ],
        measures: vec![
            per_delivery()
                .against(PLAIN)
                .bound(Bound::TimesAtMost(PLAIN, 1.05)),
        ],
    }
}

pub(super) fn idle_over_tls(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle_tls, 1, 0);
    let plain = Setup::plain(Server::Fanfare);
    let tls = Setup {
        transport: Transport::Tls,
        ..plain
    };
    Experiment {
        name: "idle-tls",
        turns: 1,
        judged: "TLS",
        title: format!(
            "{} idle connections over TLS, against plain TCP",
            size.idle_tls
        ),
        subjects: vec![
            Subject::new("TLS", Work::run(tls, &arguments)),
            Subject::new(PLAIN, Work::run(plain, &arguments)),
        ],
        measures: vec![
            rss_per_connection()
                .against(PLAIN)
                .bound(Bound::MoreAtMost(PLAIN, 6.0)),
            less(
                "CPU per accept, handshakes, connect and subscribe",
                "cpu_us_per_connect",
                "µs",
            )
            .against(PLAIN),
        ],
    }
}
