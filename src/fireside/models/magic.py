"""Say what a file that is not a GGUF probably is, from its first bytes. Knows no file name's meaning but its ending."""

PULL_AGAIN = "fireside models pull URL"
CONVERT = "convert it with llama.cpp's convert_hf_to_gguf.py, or pull a GGUF of the same model"

STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "it is a git-lfs pointer, the model itself was not fetched", "git lfs pull"),
    (b"FUGG", "it is a GGUF with its bytes swapped (big-endian)", PULL_AGAIN),
    (b"lmgg", "it is an old GGML file, from before GGUF", CONVERT),
    (b"tjgg", "it is an old GGML file (ggjt), from before GGUF", CONVERT),
    (b"fmgg", "it is an old GGML file (ggmf), from before GGUF", CONVERT),
    (b"algg", "it is an old GGML LoRA adapter, from before GGUF", CONVERT),
    (b"\x1f\x8b", "it is compressed with gzip", "unpack it first: gunzip FILE"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "unpack it first: zstd -d FILE"),
    (b"\xfd7zXZ", "it is compressed with xz", "unpack it first: xz -d FILE"),
    (b"7z\xbc\xaf", "it is a 7-zip archive", "unpack it first"),
    (b"Rar!", "it is a RAR archive", "unpack it first"),
    (b"\x89HDF", "it is an HDF5 (Keras) file", CONVERT),
    (b"\x93NUMPY", "it is a NumPy array", CONVERT),
    (b"\x7fELF", "it is a program", PULL_AGAIN),
)
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
ENDINGS = (".pt", ".pth", ".bin", ".ckpt")


def looks_like(start: bytes, suffix: str) -> tuple[str, str]:
    """What ``start`` (the first few thousand bytes of a file) looks like, in words, and a remedy."""
    if not start:
        return "it is empty (0 bytes)", PULL_AGAIN
    for magic, words, remedy in STARTS:
        if start.startswith(magic):
            return words, remedy
    if start.startswith(b"PK\x03\x04"):
        torch = b"data.pkl" in start or suffix.lower() in ENDINGS
        return (
            ("it is a PyTorch checkpoint", CONVERT) if torch else ("it is a zip archive", "unpack it first: unzip FILE")
        )
    if start.startswith(PICKLES):
        return "it is a PyTorch or pickle file", CONVERT
    if start[257:262] == b"ustar":
        return "it is a tar archive", "unpack it first: tar xf FILE"
    if _is_safetensors(start):
        return "it is a safetensors file", CONVERT
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page, perhaps an error or a log-in page", "use the address of the file itself"
    if text.startswith((b"{", b"[")):
        return "it is JSON, perhaps an error message or a config.json", "use the address of the file itself"
    if not start.strip(b"\0"):
        return "it begins with zeros, perhaps an unfinished download", PULL_AGAIN
    if start[:4] == b"GGUF"[: len(start)]:
        return f"it ends after {len(start)} bytes", PULL_AGAIN
    shown = start[:4].decode("ascii", "replace")
    return f"it begins with {shown!r} where GGUF stands in one", PULL_AGAIN


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 9 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") < 1 << 30
