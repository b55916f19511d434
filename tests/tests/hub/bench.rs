//! A hub with one small model, a cache, and clients that lose patience fast.

use anyhow::{Context, Result};
use shared::backoff::Backoff;
use shared::hub::{Hub, HubModel, HubSettings, Needs, Patience, Snapshot};
use shared::secret::Secret;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tests::hub_server::HubServer;

/// The model of every test; `WEIGHTS` bytes of it are its weights.
pub(crate) const MODEL: &str = "acme/mini";
pub(crate) const WEIGHTS: usize = 3_000_000;

pub(crate) struct Bench {
    pub(crate) server: HubServer,
    folder: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write_model(&folder.path().join("hub").join(MODEL), 1)?;
        let server = HubServer::start(&folder.path().join("hub")).await?;
        Ok(Self { server, folder })
    }

    /// Where the repository `name` lies.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.folder.path().join("hub").join(name)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The cache's part of [`MODEL`].
    pub(crate) fn cached(&self) -> PathBuf {
        self.cache().join("models--acme--mini")
    }

    pub(crate) fn settings(&self) -> HubSettings {
        HubSettings {
            endpoint: self.server.url(),
            patience: Patience {
                connect: Duration::from_secs(2),
                read_idle: Duration::from_secs(10),
                whole: Duration::from_secs(60),
                with_cache: Duration::from_secs(20),
                attempts: 4,
                backoff: Backoff {
                    base: Duration::from_millis(2),
                    cap: Duration::from_millis(10),
                },
                longest_wait: Duration::from_secs(5),
            },
            ..HubSettings::new(self.cache())
        }
    }

    pub(crate) fn hub(&self) -> Result<Hub> {
        Ok(Hub::new(self.settings())?)
    }

    pub(crate) fn hub_with_token(&self, token: &str) -> Result<Hub> {
        Ok(Hub::new(HubSettings {
            token: Some(Secret::new(token.to_owned())),
            ..self.settings()
        })?)
    }

    /// Resolves and fetches the model at `main`.
    pub(crate) async fn fetched(&self) -> Result<(HubModel, Snapshot)> {
        let hub = self.hub()?;
        let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
        let snapshot = fetch(&hub, &model).await?;
        Ok((model, snapshot))
    }

    /// Bytes of the one file of [`MODEL`] that is there in part.
    pub(crate) fn incomplete(&self) -> Result<u64> {
        let blobs = std::fs::read_dir(self.cached().join("blobs"))?.filter_map(Result::ok);
        let mut found = blobs.filter(|entry| entry.file_name().to_string_lossy().ends_with(".incomplete"));
        Ok(found.next().context("a file in part")?.metadata()?.len())
    }

    /// Asserts that the snapshot's files are those of the repository, byte for byte.
    pub(crate) fn assert_equal(&self, snapshot: &Path, repository: &str) -> Result<()> {
        let mut weights = 0;
        for (path, content) in files(snapshot)? {
            let original = std::fs::read(self.repository(repository).join(&path))?;
            assert!(original == content, "{path} differs");
            weights += usize::from(path.ends_with(".safetensors"));
        }
        assert!(weights > 0, "no weights in {}", snapshot.display());
        Ok(())
    }
}

/// All files below a folder, links followed.
pub(crate) fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a name in UTF-8")?
            .to_owned();
        if path.is_dir() {
            found.extend(
                files(&path)?
                    .into_iter()
                    .map(|(below, content)| (format!("{name}/{below}"), content)),
            );
        } else {
            found.insert(name, std::fs::read(path)?);
        }
    }
    Ok(found)
}

/// A client that may use nothing but the bench's cache.
pub(crate) fn offline(bench: &Bench) -> Result<Hub> {
    Ok(Hub::new(HubSettings {
        offline: true,
        ..bench.settings()
    })?)
}

pub(crate) async fn fetch(hub: &Hub, model: &HubModel) -> Result<Snapshot> {
    Ok(hub
        .fetch(
            model,
            Needs {
                sentences: true,
                ..Needs::default()
            },
            &|_| (),
        )
        .await?)
}

/// A repository as they are: needed files among much that is not.
pub(crate) fn write_model(folder: &Path, seed: u8) -> Result<()> {
    let weights: Vec<u8> = (0..WEIGHTS)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8 ^ seed)
        .collect();
    let tokenizer = format!("{{\"seed\": {seed}}}{}", " ".repeat(50_000));
    for (path, content) in [
        ("config.json", br#"{"model_type": "bert"}"#.as_slice()),
        ("model.safetensors", &weights),
        ("pytorch_model.bin", &weights),
        ("tf_model.h5", b"h5"),
        ("onnx/model.onnx", b"onnx"),
        ("openvino/openvino_model.bin", b"openvino"),
        ("tokenizer.json", tokenizer.as_bytes()),
        ("tokenizer_config.json", b"{}"),
        ("vocab.txt", b"[PAD]\n[UNK]\n"),
        ("special_tokens_map.json", b""),
        ("modules.json", b"[]"),
        ("1_Pooling/config.json", br#"{"pooling_mode_mean_tokens": true}"#),
        ("README.md", b"# mini"),
        (".gitattributes", b"*.safetensors filter=lfs"),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, content)?;
    }
    Ok(())
}
