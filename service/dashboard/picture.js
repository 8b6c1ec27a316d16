/** Pictures as a model takes them, and as people see them: uint8 [channels, height, width] and canvases. */

import { Problem } from "./api.js";

const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601

/** Return a picture file's pixels in a shape: the middle of it, resized; grey where the shape has one channel. */
export async function pixelsOfFile(file, shape) {
    let bitmap;
    try {
        bitmap = await createImageBitmap(file);
    } catch {
        throw new Problem({
            title: "This is no picture",
            detail: `The browser cannot read ${file.name || "it"} as one.`,
            remedy: "PNG, JPEG and WebP files are pictures.",
        });
    }
    const [, height, width] = shape;
    const scale = Math.min(bitmap.width / width, bitmap.height / height);
    const cut = { width: width * scale, height: height * scale };
    const from = [(bitmap.width - cut.width) / 2, (bitmap.height - cut.height) / 2, cut.width, cut.height];
    return pixelsOf(bitmap, from, shape);
}

/** Return a drawing's pixels in a shape. */
export function pixelsOfCanvas(canvas, shape) {
    return pixelsOf(canvas, [0, 0, canvas.width, canvas.height], shape);
}

/** Show pixels in a canvas, one each; the style sheet enlarges it. */
export function showPixels(canvas, pixels, [channels, height, width]) {
    Object.assign(canvas, { width, height });
    const image = new ImageData(width, height);
    const plane = width * height;
    for (let at = 0; at < plane; at += 1) {
        for (let color = 0; color < 3; color += 1)
            image.data[4 * at + color] = pixels[(channels === 3 ? color * plane : 0) + at];
        image.data[4 * at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
}

export function inverted(pixels) {
    return pixels.map((value) => 255 - value);
}

/** Return pixels as the API takes them. */
export function base64(pixels) {
    let text = "";
    for (const value of pixels) text += String.fromCharCode(value);
    return btoa(text);
}

function pixelsOf(source, from, [channels, height, width]) {
    const small = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    small.imageSmoothingQuality = "high";
    small.fillStyle = "#000"; // under what is transparent
    small.fillRect(0, 0, width, height);
    small.drawImage(source, ...from, 0, 0, width, height);
    const { data } = small.getImageData(0, 0, width, height);
    const plane = width * height;
    const pixels = new Uint8Array(channels * plane);
    for (let at = 0; at < plane; at += 1) {
        const [red, green, blue] = data.subarray(4 * at, 4 * at + 3);
        if (channels === 3) [pixels[at], pixels[plane + at], pixels[2 * plane + at]] = [red, green, blue];
        else pixels[at] = Math.round(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue);
    }
    return pixels;
}
