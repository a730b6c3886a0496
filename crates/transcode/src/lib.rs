//! API sketch (the gateway is written against it).
#![allow(missing_docs, clippy::all, clippy::pedantic)]
use bytes::Bytes;
use std::time::Duration;
#[derive(Clone, Copy, Debug)]
pub enum PayloadFormat { Json, Protobuf }
#[derive(Debug)]
pub struct Caller { pub user: String, pub client: String }
#[derive(Debug)]
pub struct Call<'a> { pub method: &'a str, pub payload: &'a Bytes, pub format: PayloadFormat, pub caller: Caller, pub traceparent: Option<String> }
#[derive(Debug)]
pub struct CallError { pub code: u32, pub message: String, pub temporary: bool }
#[derive(Debug)]
pub struct Service { pub name: String, pub grpc_service: String, pub descriptors: Bytes, pub internal_methods: Vec<String>, pub channel: tonic::transport::Channel, pub shared_key: String, pub timeout: Duration }
#[derive(Debug, thiserror::Error)]
#[error("bad")]
pub struct Error;
#[derive(Debug)]
pub struct Services;
impl Services {
    pub fn new(_s: Vec<Service>) -> Result<Self, Error> { Ok(Self) }
    pub async fn call(&self, _c: Call<'_>) -> Result<Bytes, CallError> { Err(CallError { code: 108, message: "".into(), temporary: false }) }
}
