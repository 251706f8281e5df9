"""What is a URI and what is not."""

import pytest

from storage import InvalidUri, Uri, scheme_of

VALID = [
    ("s3://models/bert/config.json", Uri("s3", "models", "bert/config.json")),
    ("s3://models/bert/", Uri("s3", "models", "bert")),
    ("s3://models", Uri("s3", "models", "")),
    ("s3://models/", Uri("s3", "models", "")),
    ("s3://my.bucket-1/a b/ü/%2e%2e/x?y=1#z+&", Uri("s3", "my.bucket-1", "a b/ü/%2e%2e/x?y=1#z+&")),
    ("s3://models/.hidden/...", Uri("s3", "models", ".hidden/...")),
    ("file:///data/bert", Uri("file", "", "data/bert")),
    ("file:///", Uri("file", "", "")),
]

INVALID = [
    "",
    "models/bert",
    "/data/bert",
    "http://models/bert",
    "S3://models/bert",
    "s3:/models/bert",
    "s3a://models/bert",
    " s3://models/bert",
    "s3://",
    "s3:///",
    "s3:///bert",
    "s3://ab/bert",
    "s3://-models/bert",
    "s3://mod..els/bert",
    "s3://key:secret@models/bert",
    "s3://models:80/bert",
    "s3://models?x/bert",
    "s3://models//bert",
    "s3://models/bert//",
    "s3://models/bert//config.json",
    "s3://models/../bert",
    "s3://models/bert/..",
    "s3://models/./bert",
    "s3://models/a\\..\\b",
    "s3://models/a\x00b",
    "s3://models/a\nb",
    "s3://models/a\x7fb",
    "s3://models/a\x85b",
    "s3://models/a\u2028b",
    "s3://models/a\udcffb",
    "s3://models/" + "k" * 1025,
    "s3://models/" + "ü" * 513,
    "file://",
    "file://data/bert",
    "file://localhost/data/bert",
    "file:/data/bert",
    "file:////data/bert",
    "file:///data/../etc/passwd",
    "file:///data/./bert",
    "file:///data\x00/bert",
    "file:///data/" + "n" * 256,
    "file:///" + "/".join(["n" * 200] * 25),
]


@pytest.mark.parametrize(("text", "uri"), VALID)
def test_valid_uris_are_taken_literally(text: str, uri: Uri) -> None:
    assert Uri.parse(text) == uri
    assert Uri.parse(str(uri)) == uri


@pytest.mark.parametrize("text", [text for text, _ in VALID])
def test_the_scheme_is_known_before_the_whole_is_read(text: str) -> None:
    assert scheme_of(text) == Uri.parse(text).scheme


@pytest.mark.parametrize("text", ["", "models/bert", "https://127.0.0.1/model", "S3://models/bert"])
def test_no_network_is_looked_at_for_what_is_no_uri(text: str) -> None:
    assert scheme_of(text) == "file"
    with pytest.raises(InvalidUri):
        Uri.parse(text)


@pytest.mark.parametrize("text", INVALID, ids=[ascii(text)[:40] for text in INVALID])
def test_what_could_be_misread_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        Uri.parse(text)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 400
    assert sentence.endswith(".")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("bucket", "key"), [("models", "a/../b"), ("models", "/a"), ("models", "a/"), ("", "a")])
def test_no_unchecked_uri_can_be_made(bucket: str, key: str) -> None:
    with pytest.raises(InvalidUri):
        Uri("s3", bucket, key)


def test_join_adds_segments_and_refuses_to_leave() -> None:
    folder = Uri.parse("s3://models/bert")
    assert str(folder.join("shards/1.safetensors")) == "s3://models/bert/shards/1.safetensors"
    assert str(Uri.parse("s3://models").join("a")) == "s3://models/a"
    assert str(Uri.parse("file:///").join("a")) == "file:///a"
    for name in ("", "/", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/", ".", "a\\b", "a\x00"):
        for start in (folder, Uri.parse("s3://models"), Uri.parse("file:///")):
            with pytest.raises(InvalidUri):
                start.join(name)


def test_is_within_compares_segments() -> None:
    def within(inner: str, outer: str) -> bool:
        return Uri.parse(inner).is_within(Uri.parse(outer))

    assert within("s3://models/b/c", "s3://models/b")
    assert within("s3://models/b", "s3://models/b/")
    assert within("s3://models/b", "s3://models")
    assert within("file:///data/b", "file:///")
    assert not within("s3://models/bc", "s3://models/b")
    assert not within("s3://models/b", "s3://models/b/c")
    assert not within("s3://models2/b", "s3://models/b")
    assert not within("file:///models/b", "s3://models/b")


def test_name_is_the_last_segment() -> None:
    assert Uri.parse("s3://models/a/b.json").name == "b.json"
    assert Uri.parse("s3://models/a").name == "a"
    assert Uri.parse("s3://models").name == ""


def test_parent_is_all_but_the_last_segment() -> None:
    assert Uri.parse("s3://models/a/b.json").parent == Uri.parse("s3://models/a")
    assert Uri.parse("s3://models/a").parent == Uri.parse("s3://models")
    assert Uri.parse("file:///a").parent == Uri.parse("file:///")
