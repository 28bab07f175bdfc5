/** The entry of the anywidget bundle: nothing but `render`. */

import { render } from "./render/index";

export default { render };
