"""The description of all addresses that programs use, as OpenAPI 3.1."""

from typing import TYPE_CHECKING, Any

from segkit import __version__

if TYPE_CHECKING:
    from segkit.serve.app import Limits

PICTURES = ("image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp", "application/octet-stream")


def openapi(limits: "Limits", classes: int) -> dict[str, Any]:
    """The document of a server with these limits, of a network of so many classes."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    asked: dict[str, Any] = {
        "picture": {"type": "string", "contentEncoding": "base64", "description": "The file."},
        "calibration": {
            "type": "string",
            "description": "The text of a KITTI calibration file: the free road is measured in metres.",
        },
    }
    if classes == 2:
        asked["threshold"] = {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "Class 1 is where its confidence is larger; without it, where it is the more probable one.",
        }
    refused = {
        "400": "The body is no picture, or a damaged one.",
        "403": "A page of another site asks.",
        "406": "Accept names nothing that there is.",
        "408": f"The request was not here after {limits.timeout:g} s.",
        "411": "There is no Content-Length.",
        "413": f"More than {limits.max_megabytes:g} MiB, or more than {limits.max_megapixels:g} megapixels.",
        "421": "A server for its own machine alone was asked for by another name.",
        "500": "The network failed; the server's log says how.",
        "503": f"More than {limits.queue} pictures are in work. Come back after Retry-After seconds.",
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "segkit serve",
            "version": __version__,
            "description": "A trained network that segments pictures.",
        },
        "paths": {
            "/ping": {"get": _get("Whether the network is at work.", "Health")},
            "/metadata": {"get": _get("Classes, limits, and which network this is.", "Metadata")},
            "/invocations": {
                "post": {
                    "summary": "The classes of a picture, pixel by pixel.",
                    "requestBody": {
                        "required": True,
                        "content": {
                            **dict.fromkeys(PICTURES, binary),
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["picture"],
                                    "additionalProperties": False,
                                    "properties": asked,
                                }
                            },
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "The mask, at the picture's own size. JSON holds it as runs; with "
                            "`Accept: application/json; mask=polygons` as polygons, with `mask=png` as PNGs in base64.",
                            "content": {
                                "image/png": {
                                    "schema": {
                                        "type": "string",
                                        "format": "binary",
                                        "description": "Pixel values are the classes, the palette has their colours.",
                                    }
                                },
                                "application/json": {"schema": {"$ref": "#/components/schemas/Segmented"}},
                            },
                        },
                        **{status: _refusal(text) for status, text in refused.items()},
                    },
                }
            },
        },
        "components": {"schemas": _schemas()},
    }


def _get(summary: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _schemas() -> dict[str, Any]:
    point = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    line = {"type": "array", "items": point, "description": "[x, y] of the outermost pixels' centres."}
    colour: dict[str, Any] = {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0, "maximum": 255}}
    named = {"class": {"type": "integer"}, "name": {"type": "string"}, "colour": colour}
    return {
        "Error": _object({"error": {"type": "string", "description": "A sentence."}}),
        "Health": _object({"status": {"const": "healthy"}}),
        "Metadata": _object(
            {
                "classes": {"type": "array", "items": _object(named)},
                "max_megapixels": {"type": "number"},
                "max_megabytes": {"type": "number"},
                "calibrated": {"type": "boolean", "description": "Every picture is measured in metres."},
                "version": {"type": "string"},
                "checkpoint": {"type": "array", "items": {"type": "string"}},
            }
        ),
        "Segmented": _object(
            {
                "width": {"type": "integer"},
                "height": {"type": "integer"},
                "classes": {
                    "type": "array",
                    "items": _object(named | {"share": {"type": "number", "description": "Of the pixels, 0…1."}}),
                },
                "milliseconds": _object({key: {"type": "number"} for key in ("network", "pictures_together", "all")}),
            },
            {
                "runs": {
                    "type": "array",
                    "items": {"type": "integer"},
                    "description": "Row by row: a class, for how many pixels, the next class, for how many, …",
                },
                "polygons": {
                    "type": "array",
                    "items": _object(
                        {"class": {"type": "integer"}, "outline": line, "holes": {"type": "array", "items": line}}
                    ),
                    "description": "Filled by the even-odd rule, edges included, they are the mask.",
                },
                "mask": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "contentMediaType": "image/png",
                    "description": "8 bit grey, whose values are the classes.",
                },
                "confidence": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "contentMediaType": "image/png",
                    "description": "255 · probability: of class 1 where there are two, else of the class chosen.",
                },
                "free_road": {
                    "type": "object",
                    "description": "Where there is a calibration: metres of free road ahead, widths, area.",
                },
                "drawing": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "contentMediaType": "image/png",
                    "description": "The free road, to be laid over the picture.",
                },
            },
        ),
    }


def _object(always: dict[str, Any], sometimes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(always), "properties": always | (sometimes or {})}
