//! A large file to a bucket and back: the store's own transfer, which also hashes, beside the SDK used plainly. The servers
//! are on this machine: the figures compare clients, they say nothing of a network.

use crate::ranges::Ranges;
use crate::table::{Aim, Better, Measure, Table};
use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use shared::aws::AwsAccess;
use shared::store::Key;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;
use tests::aws::{ACCESS_KEY, AwsServer, REGION, SECRET_KEY};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

const SIZE: usize = 256 << 20;
/// Of the plain SDK's parts, at once; those of the store.
const PART: usize = 8 << 20;
const AT_ONCE: usize = 8;

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let server = AwsServer::get();
    let bucket = server.bucket().await;
    let store = shared::store::connect(&format!("s3://{bucket}"), &server.access()).await?;
    let plain = Plain::new(server.endpoint(), &bucket);
    let folder = TempDir::new()?;
    let file = folder.path().join("file");
    let mut bytes = vec![0_u8; SIZE];
    rand::fill(&mut bytes[..]);
    let sha256 = hex::encode(Sha256::digest(&bytes));
    std::fs::write(&file, &bytes)?;

    // What the SDK does best: one request, or parts at once.
    let whole = rate(plain.put(&file)).await?;
    let parts = rate(plain.put_parts(&file)).await?;
    let key = Key::new("transfers/file")?;
    let ours = rate(async { Ok(store.put_file_new(&key, &file, &sha256).await?) }).await?;
    table.add(measure_of("upload of 256 MiB"), ours, Some(whole.max(parts)));

    let server = Ranges::of(bytes.into()).await?;
    let access = AwsAccess {
        s3_endpoint: Some(server.endpoint.clone()),
        ..AwsServer::get().access()
    };
    let store = shared::store::connect(&format!("s3://{bucket}"), &access).await?;
    let plain = Plain::new(&server.endpoint, &bucket);
    let whole = rate(plain.get(&folder.path().join("whole"))).await?;
    let ranges = rate(plain.get_ranges(&folder.path().join("ranges"))).await?;
    let back = folder.path().join("back");
    let ours = rate(async { Ok(store.get_file(&key, &back, &sha256).await?) }).await?;
    table.add(measure_of("download of 256 MiB"), ours, Some(whole.max(ranges)));
    Ok(())
}

fn measure_of(name: &'static str) -> Measure {
    Measure {
        name,
        unit: "MB/s",
        better: Better::More,
        aim: Aim::Times(0.9),
        peer: "plain SDK's best",
    }
}

/// MB a second.
async fn rate(work: impl Future<Output = Result<()>>) -> Result<f64> {
    let started = Instant::now();
    work.await?;
    #[expect(clippy::cast_precision_loss, reason = "some hundred million")]
    let size = SIZE as f64;
    Ok(size / 1e6 / started.elapsed().as_secs_f64())
}

/// The SDK as its guide uses it.
struct Plain {
    client: Client,
    bucket: String,
}

impl Plain {
    fn new(endpoint: &str, bucket: &str) -> Self {
        let keys = aws_sdk_s3::config::Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "bench");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_s3::config::Region::new(REGION))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(keys)
            .build();
        Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
        }
    }

    async fn put(&self, file: &Path) -> Result<()> {
        let body = ByteStream::from_path(file).await?;
        let request = self.client.put_object().bucket(&self.bucket).key("plain/whole");
        request.body(body).send().await?;
        Ok(())
    }

    async fn put_parts(&self, file: &Path) -> Result<()> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let begun = request.key("plain/parts").send().await?;
        let upload = begun.upload_id.context("an upload has an id")?;
        let parts = futures::stream::iter(0..SIZE / PART).map(|number| self.put_part(file, &upload, number));
        let mut parts: Vec<CompletedPart> = parts.buffer_unordered(AT_ONCE).try_collect().await?;
        parts.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket);
        let request = request.key("plain/parts").upload_id(upload).multipart_upload(parts);
        request.send().await?;
        Ok(())
    }

    async fn put_part(&self, file: &Path, upload: &str, number: usize) -> Result<CompletedPart> {
        let mut file = tokio::fs::File::open(file).await?;
        file.seek(std::io::SeekFrom::Start((number * PART) as u64)).await?;
        let mut bytes = vec![0; PART];
        file.read_exact(&mut bytes).await?;
        let number = i32::try_from(number + 1)?;
        let request = self.client.upload_part().bucket(&self.bucket).key("plain/parts");
        let request = request.upload_id(upload).part_number(number);
        let sent = request.body(ByteStream::from(bytes)).send().await?;
        let part = CompletedPart::builder().part_number(number);
        Ok(part
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }

    async fn get(&self, file: &Path) -> Result<()> {
        let request = self.client.get_object().bucket(&self.bucket).key("plain/whole");
        let mut body = request.send().await?.body;
        let mut file = tokio::fs::File::create(file).await?;
        while let Some(bytes) = body.try_next().await? {
            file.write_all(&bytes).await?;
        }
        Ok(file.flush().await?)
    }

    async fn get_ranges(&self, file: &Path) -> Result<()> {
        let mut file = tokio::fs::File::create(file).await?;
        let ranges = futures::stream::iter(0..SIZE / PART).map(|number| async move {
            let range = format!("bytes={}-{}", number * PART, (number + 1) * PART - 1);
            let request = self.client.get_object().bucket(&self.bucket).key("plain/whole");
            let answer = request.range(range).send().await?;
            anyhow::Ok(answer.body.collect().await?.into_bytes())
        });
        let mut ranges = ranges.buffered(AT_ONCE);
        while let Some(bytes) = ranges.try_next().await? {
            file.write_all(&bytes).await?;
        }
        Ok(file.flush().await?)
    }
}
