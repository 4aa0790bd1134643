"""A program of its own: one frame in by stdin, its samples out by stdout, decoded by GDCM.

It is run by its path, and imports nothing but GDCM, so that it starts fast (some 30 ms of processor time).
"""

import sys

_NO_GDCM = 3
"""Exit code, which `service.radiograph.isolated` knows: no fault of the frame."""

try:
    import gdcm
except ImportError:
    sys.exit(_NO_GDCM)

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]


def main() -> None:
    """Decode a frame, of which the arguments tell what `decode_isolated` knows."""
    syntax, photometric = sys.argv[1:3]
    columns, rows, samples, allocated, stored, signed, cpu_seconds = map(int, sys.argv[3:10])
    if resource:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(sys.stdin.buffer.read())
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if samples > 1:
        image.SetPlanarConfiguration(0)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(samples, allocated, stored, stored - 1, signed))
    # GDCM gives bytes as text, in which any that are not UTF-8 stand as surrogates.
    sys.stdout.buffer.write(image.GetBuffer().encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main()
