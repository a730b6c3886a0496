//! Compiles the `.proto` files with `protox`, so that no `protoc` is needed.

use prost::Message;

const FILES: &[&str] = &[
    "fanfare/log/v1/log_service.proto",
    "fanfare/chat/v1/chat_service.proto",
    "fanfare/notify/v1/notify_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("fanfare_descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
